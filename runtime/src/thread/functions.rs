//! Free functions: spawning, sleeping, yielding, parking, and the current green thread.

use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::charge;
use super::builder::Builder;
use super::count_guard::CountGuard;
use super::exit_hooks::{self, ExitHookId};
use super::interrupt;
use super::join_handle::JoinHandle;
use super::thread::Thread;
use crate::green::{RemoteHandle, SpawnSite, WaitReason, Wake};
use crate::sched::{self, SpawnOptions, unwrap_spawn};

/// Spawns a green thread on the current OS thread and returns a [`JoinHandle`] for it, like
/// [`std::thread::spawn`].
///
/// The green thread starts when the caller parks or yields, after those that are ready already. It
/// continues to run when its spawner ends.
///
/// # Differences from std
///
/// - Neither the closure nor its result needs to be `Send`.
///
/// # Panics
///
/// Panics if no stack can be allocated; [`Builder::spawn`] returns an error instead.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
///
/// let shared = Rc::new(40);
/// let clone = Rc::clone(&shared);
/// let sum = evy::spawn(move || *clone + 2);
/// assert_eq!(sum.join().unwrap(), 42);
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    unwrap_spawn(Builder::new().spawn(f))
}

/// Spawns a green thread like [`spawn`], at `site` instead of the source location of the caller.
#[track_caller]
pub(crate) fn spawn_at<F, T>(site: SpawnSite, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    unwrap_spawn(Builder::new().spawn_at(site, f))
}

/// Spawns a green thread without a handle. Its result is discarded.
///
/// This is the cheapest spawn: it allocates nothing. A panic of `f` is reported by the panic hook
/// with the name of the green thread, and has no other effect.
///
/// # Panics
///
/// Panics if no stack can be allocated.
///
/// # Examples
///
/// ```
/// evy::spawn_n(|| println!("second"));
/// println!("first");
/// evy::yield_now();
/// ```
#[doc(alias = "spawn_detached")]
#[track_caller]
#[inline]
pub fn spawn_n<F: FnOnce() + 'static>(f: F) {
    let options = SpawnOptions::new(Location::caller());
    unwrap_spawn(sched::current().spawn(options, None, f));
}

/// Spawns a green thread that starts after `delay`.
///
/// [`JoinHandle::cancel`] prevents the start until then.
///
/// # Panics
///
/// Panics if no stack can be allocated.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let late = evy::spawn_after(Duration::from_secs(3600), || "never seen");
/// assert!(late.cancel());
/// assert!(late.join().unwrap_err().is_killed());
/// ```
#[track_caller]
pub fn spawn_after<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    unwrap_spawn(Builder::new().spawn_after(delay, f))
}

/// Spawns a green thread that starts after `delay`, like [`spawn_after`], unless its spawner ends
/// first.
///
/// If the spawner ends before `delay` has passed, the green thread is canceled.
///
/// # Panics
///
/// Panics if no stack can be allocated.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let spawner = evy::spawn(|| evy::spawn_after_local(Duration::from_secs(1), || ()));
/// let timer = spawner.join().unwrap();
/// assert!(timer.join().unwrap_err().is_killed());
/// ```
#[doc(alias = "spawn_after_scoped")]
#[track_caller]
pub fn spawn_after_local<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let scheduler = sched::current();
    let spawner = scheduler.running();
    let hook = Rc::new(LocalTimerHook {
        spawner: scheduler.remote_handle(spawner),
        id: Cell::new(None),
    });
    let timer = LocalTimer {
        hook: Rc::clone(&hook),
        f: Box::new(f),
    };
    let handle = spawn_after(delay, move || timer.start());
    let cancel = Box::new(handle.canceler());
    hook.id.set(Some(exit_hooks::add(spawner, cancel)));
    handle
}

/// The closure of a green thread that its spawner's end cancels.
///
/// If it is canceled, the fields are dropped in this order: the spawner's exit hook is removed
/// before the destructors of the program run.
struct LocalTimer<T> {
    hook: Rc<LocalTimerHook>,
    f: Box<dyn FnOnce() -> T>,
}

impl<T> LocalTimer<T> {
    fn start(self) -> T {
        drop(self.hook);
        (self.f)()
    }
}

/// The exit hook of the spawner, which cancels the green thread. It is removed when this is
/// dropped: it is of no use once the green thread has started or was canceled.
struct LocalTimerHook {
    spawner: Arc<RemoteHandle>,
    /// `None` until the hook is registered.
    id: Cell<Option<ExitHookId>>,
}

impl Drop for LocalTimerHook {
    fn drop(&mut self) {
        // The spawner may have ended, and another green thread may have its control block.
        if let Some(id) = self.id.get()
            && let Some(scheduler) = sched::if_current()
            && let Some(spawner) = scheduler.own_green(&self.spawner)
        {
            exit_hooks::remove(spawner, id);
        }
    }
}

/// Parks the current green thread for at least `duration`, like [`std::thread::sleep`].
///
/// A duration of zero is a [`yield_now`]. A duration that the clock cannot represent, such as
/// [`Duration::MAX`], never passes. While a green thread sleeps, no deadlock is reported.
///
/// # Examples
///
/// ```
/// evy::sleep(std::time::Duration::from_millis(1));
/// ```
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        return yield_now();
    }
    let scheduler = sched::current();
    let deadline = scheduler.clock.deadline_after(duration);
    // Without a deadline, no timer shows that this green thread waits for time alone.
    let _sleeps_forever = deadline
        .is_none()
        .then(|| CountGuard::new(&scheduler.unforeseen_waiters));
    // Only the clock ends a sleep. In a program that cannot unwind, a kill may wake it early.
    while interrupt::wait(scheduler, WaitReason::Sleep, deadline) != Wake::TimedOut {}
}

/// Lets every other ready green thread run before the caller continues.
///
/// This is a parking point: a pending kill, or the expired timeout of an enclosing
/// [`timeout`](super::timeout), is thrown here. It waits for nothing.
///
/// # Examples
///
/// ```
/// let other = evy::spawn(|| ());
/// evy::yield_now();
/// assert!(other.is_finished());
/// ```
#[inline(always)]
pub fn yield_now() {
    interrupt::yield_scheduler(sched::current());
}

/// Parks the current green thread until its token is made available, like [`std::thread::park`].
///
/// [`Thread::unpark`] and [`Unparker::unpark`](super::Unparker::unpark) make the token available.
/// If it is available already, `park` consumes it and returns at once. May return spuriously.
///
/// # Panics
///
/// Panics on the root green thread if a deadlock is detected.
///
/// # Examples
///
/// ```
/// use evy::thread;
///
/// thread::current().unpark();
/// thread::park();
/// ```
pub fn park() {
    park_until(None);
}

/// Parks the current green thread like [`park`], for at most `timeout`.
///
/// # Panics
///
/// Panics as [`park`] does.
pub fn park_timeout(timeout: Duration) {
    park_until(sched::deadline_after(timeout));
}

fn park_until(deadline: Option<Instant>) {
    let scheduler = sched::current();
    let me = scheduler.running();
    charge(|| !me.park_token.get());
    if !me.park_token.replace(false) {
        interrupt::wait(scheduler, WaitReason::Park, deadline);
        me.park_token.set(false);
    }
}

/// Returns a handle to the current green thread.
///
/// The first evy call on an OS thread turns that OS thread into a green thread, its root.
///
/// # Examples
///
/// ```
/// let named = evy::thread::Builder::new().name("worker".into()).spawn(|| {
///     evy::thread::current().name().map(str::to_owned)
/// });
/// assert_eq!(named?.join().unwrap().as_deref(), Some("worker"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn current() -> Thread {
    let scheduler = sched::current();
    Thread::new(scheduler.remote_handle(scheduler.running()))
}

#[cfg(test)]
mod tests {
    use super::{park_timeout, sleep, spawn, spawn_after, spawn_after_local, yield_now};
    use crate::sched;
    use crate::thread::{JoinHandle, timeout};
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(3600);

    /// Ends 2000 waits before their deadline, and checks that no timer is left.
    fn leaves_no_timer(begin: fn() -> JoinHandle<()>, end: fn(&JoinHandle<()>)) {
        let timers = &sched::current().timers;
        let waiting: Vec<_> = (0..2000).map(|_| begin()).collect();
        while sched::current().has_ready() {
            yield_now();
        }
        assert_eq!(timers.len(), 2000);
        waiting.iter().for_each(end);
        yield_now();
        assert_eq!(timers.len(), 0);
        assert!(waiting.iter().all(JoinHandle::is_finished));
    }

    #[test]
    fn a_wait_that_ends_early_leaves_no_timer() {
        leaves_no_timer(|| spawn_after(LONG, || ()), |late| assert!(late.cancel()));
        leaves_no_timer(|| spawn(|| sleep(LONG)), JoinHandle::kill);
        leaves_no_timer(|| spawn(|| park_timeout(LONG)), |one| one.thread().unpark());
        let in_time = || spawn(|| timeout(LONG, super::park).expect("unparked in time"));
        leaves_no_timer(in_time, |one| one.thread().unpark());
    }

    #[test]
    fn a_local_timer_that_has_started_or_was_canceled_leaves_no_exit_hook() {
        let me = sched::current().running();
        let hooks = || me.cold().map_or(0, |cold| cold.on_exit.borrow().len());
        let canceled: Vec<_> = (0..100).map(|_| spawn_after_local(LONG, || ())).collect();
        let started = spawn_after_local(Duration::ZERO, || ());
        assert_eq!(hooks(), 101);
        assert!(canceled.iter().all(JoinHandle::cancel));
        assert_eq!(hooks(), 1);
        started.wait();
        assert_eq!(hooks(), 0);
    }
}
