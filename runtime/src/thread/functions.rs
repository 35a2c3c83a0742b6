//! Free functions: spawn, sleep, yield, park, and who am I.

use std::panic::Location;
use std::time::{Duration, Instant};

use super::builder::Builder;
use super::handle::Thread;
use super::interrupt;
use super::join_handle::JoinHandle;
use crate::green::{WaitReason, Wake};
use crate::sched::{self, SpawnOptions};

/// Spawns a green thread on this OS thread and returns the handle to its result.
///
/// It starts when the caller parks or yields, after those that were ready before. It lives on when
/// the spawner ends. Never parks.
///
/// Differs from std: neither the closure nor the result needs to be `Send`.
///
/// # Panics
///
/// If there is no memory for a stack; [`Builder::spawn`] returns the error instead.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
///
/// let shared = Rc::new(40);
/// let other = Rc::clone(&shared);
/// let sum = evy_runtime::spawn(move || *other + 2);
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

/// Spawns a green thread that nobody waits for: the cheapest way, which allocates nothing.
///
/// A panic of `f` is reported by the panic hook with the green thread's name, and costs nobody else
/// anything. Never parks.
///
/// # Panics
///
/// If there is no memory for a stack.
///
/// # Examples
///
/// ```
/// evy_runtime::spawn_n(|| println!("second"));
/// println!("first");
/// evy_runtime::yield_now();
/// ```
#[track_caller]
#[inline]
pub fn spawn_n<F: FnOnce() + 'static>(f: F) {
    let options = SpawnOptions::new(Location::caller());
    unwrap_spawn(sched::current().spawn(options, None, f));
}

/// Spawns a green thread that starts when `delay` has passed. [`JoinHandle::cancel`] prevents that
/// until then. Never parks.
///
/// # Panics
///
/// If there is no memory for a stack.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let late = evy_runtime::spawn_after(Duration::from_secs(3600), || "never seen");
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

#[inline]
pub(super) fn unwrap_spawn<T>(spawned: std::io::Result<T>) -> T {
    match spawned {
        Ok(spawned) => spawned,
        Err(error) => spawn_failed(&error),
    }
}

#[cold]
#[inline(never)]
fn spawn_failed(error: &std::io::Error) -> ! {
    panic!("cannot spawn a green thread: {error}")
}

/// Parks for at least `duration`. Zero is a [`yield_now`].
///
/// # Examples
///
/// ```
/// evy_runtime::sleep(std::time::Duration::from_millis(1));
/// ```
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        return yield_now();
    }
    let scheduler = sched::current();
    let deadline = scheduler.clock.deadline_after(duration);
    // Nobody but the clock ends a sleep; a program that cannot unwind may see a kill here.
    while interrupt::wait(scheduler, WaitReason::Sleep, deadline) != Wake::TimedOut {}
}

/// Lets every other ready green thread run before the caller goes on. It does not wait.
///
/// A kill or a timeout of an enclosing [`timeout`](super::timeout) is thrown here too.
///
/// # Examples
///
/// ```
/// let other = evy_runtime::spawn(|| ());
/// evy_runtime::yield_now();
/// assert!(other.is_finished());
/// ```
#[inline(always)]
pub fn yield_now() {
    interrupt::yield_scheduler(sched::current());
}

/// Parks until somebody calls [`Thread::unpark`] or [`Unparker::unpark`](super::Unparker::unpark),
/// or returns at once if somebody has since the last time. As in std, it may rarely return without.
///
/// # Panics
///
/// On the root green thread, when nothing can wake anybody any more.
///
/// # Examples
///
/// ```
/// use evy_runtime::thread;
///
/// thread::current().unpark();
/// thread::park();
/// ```
pub fn park() {
    park_until(None);
}

/// As [`park`], for `timeout` at most.
///
/// # Panics
///
/// As [`park`].
pub fn park_timeout(timeout: Duration) {
    park_until(deadline_after(timeout));
}

/// The moment `timeout` from now by this OS thread's clock; `None` is never.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    sched::current().clock.deadline_after(timeout)
}

fn park_until(deadline: Option<Instant>) {
    let scheduler = sched::current();
    let me = scheduler.running();
    if !me.park_token.replace(false) {
        interrupt::wait(scheduler, WaitReason::Park, deadline);
        me.park_token.set(false);
    }
}

/// The running green thread. An OS thread that has not used evy yet becomes one. Never parks.
///
/// # Examples
///
/// ```
/// let named = evy_runtime::thread::Builder::new().name("worker").spawn(|| {
///     evy_runtime::thread::current().name().map(str::to_owned)
/// });
/// assert_eq!(named?.join().unwrap().as_deref(), Some("worker"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn current() -> Thread {
    let scheduler = sched::current();
    Thread::new(scheduler.handle(scheduler.running()))
}

#[cfg(test)]
mod tests {
    use super::{park_timeout, sleep, spawn, spawn_after, yield_now};
    use crate::sched;
    use crate::thread::{JoinHandle, timeout};
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(3600);

    /// Ends 2000 waits for a deadline before it comes, and looks what that leaves behind.
    fn leaves_no_timer(begin: fn() -> JoinHandle<()>, end: fn(&JoinHandle<()>)) {
        let timers = &sched::current().timers;
        let waiting: Vec<_> = (0..2000).map(|_| begin()).collect();
        yield_now();
        assert_eq!(timers.len(), 2000);
        waiting.iter().for_each(end);
        yield_now();
        assert_eq!(timers.len(), 0);
        assert!(waiting.iter().all(JoinHandle::is_finished));
    }

    #[test]
    fn timer_gc() {
        leaves_no_timer(|| spawn_after(LONG, || ()), |late| assert!(late.cancel()));
        leaves_no_timer(|| spawn(|| sleep(LONG)), JoinHandle::kill);
        leaves_no_timer(|| spawn(|| park_timeout(LONG)), |one| one.thread().unpark());
        let in_time = || spawn(|| timeout(LONG, super::park).expect("unparked in time"));
        leaves_no_timer(in_time, |one| one.thread().unpark());
    }
}
