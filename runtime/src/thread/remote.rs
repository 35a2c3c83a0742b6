//! `Remote`: spawns green threads on another OS thread.
//!
//! The closure and the result lie in a packet that both sides share. Which side drops them depends on
//! how far the green thread got:
//!
//! | the green thread | closure | result |
//! | --- | --- | --- |
//! | was never started, because its OS thread has ended | dropped with the handle, or by a helper OS thread if there is none | - |
//! | was killed before it ran | dropped on its stack | - |
//! | has ended | consumed | given to the joiner, or dropped with the handle |
//! | has ended after the handle was dropped | consumed | dropped on its stack |

use std::fmt;
use std::mem;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::budget::{charge, charge_without_yield};
use super::builder::Builder;
use super::exit_hooks;
use super::join_error::{JoinError, Result};
use super::kill;
use super::parker::{Parker, deadline_after_any_thread, park_while};
use super::unwinding::catch;
use crate::fork;
use crate::green::{Identity, Leftover, RemoteCall, RemoteHandle, RemoteSpawn, WaitReason};
use crate::primitive::lock;
use crate::sched::{self, SpawnOptions};

/// Names an OS thread, on which it spawns green threads from any other one.
///
/// While another OS thread may hold a `Remote`, no deadlock is reported on the OS thread that it names,
/// because a green thread that it spawns may wake the others. Nothing shows which OS thread holds it.
/// So a deadlock is reported only if the program has no other OS thread, a second after the last
/// green thread has parked. Those of [`unblock`](crate::unblock) count, and remain after its first
/// call. Where `/proc` does not list the OS threads, as it does on Linux, none is reported.
///
/// # Examples
///
/// ```
/// use evy::thread::{self, Remote};
///
/// let here = Remote::current();
/// let this = thread::current().id();
/// let other = std::thread::spawn(move || {
///     let job = here.spawn(|| thread::current().id());
///     job.join().unwrap()
/// });
/// // The green thread runs when this one parks.
/// let id = evy::unblock(move || other.join().unwrap());
/// assert_ne!(id, this);
/// ```
pub struct Remote {
    /// A handle without a green thread. When its scheduler receives it, it takes the calls.
    message: Arc<RemoteHandle>,
}

impl Remote {
    /// Returns a `Remote` that names the current OS thread.
    ///
    /// # Panics
    ///
    /// Panics if this is the first call of evy on this OS thread and the system cannot create a
    /// poller, and in a child that was created with `fork`.
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        let scheduler = sched::current();
        let identity = Identity {
            id: 0,
            parent: 0,
            site: Location::caller(),
        };
        let owner = Arc::clone(&scheduler.own_handle);
        Self::new(Arc::new(RemoteHandle::ended(identity, owner)))
    }

    fn new(message: Arc<RemoteHandle>) -> Self {
        message.scheduler.add_remote();
        Self { message }
    }

    /// Spawns a green thread on the OS thread that this `Remote` names.
    ///
    /// Green threads that are spawned one after the other start in that order, after those that are
    /// ready there already. The OS thread must run evy for that: it must park, yield or end a green
    /// thread. If it has ended, or ends before, the closure is dropped, and the handle returns an
    /// error for which [`JoinError::is_abandoned`] is true. This is also the case in a child that was
    /// created with `fork`.
    ///
    /// If no stack can be allocated there, the handle returns an error for which
    /// [`JoinError::is_panic`] is true.
    ///
    /// Never parks. [`Builder::spawn_on`] sets a name or a stack size.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> RemoteJoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with(SpawnOptions::new(Location::caller()), Box::new(f))
    }

    fn spawn_with<T: Send + 'static>(
        &self,
        options: SpawnOptions,
        f: Box<dyn FnOnce() -> T + Send>,
    ) -> RemoteJoinHandle<T> {
        charge_without_yield();
        let packet = Arc::new(Packet {
            message: Arc::clone(&self.message),
            parent: sched::if_current().map_or(0, |scheduler| scheduler.running().id()),
            state: Mutex::new(State {
                options: Some(options),
                f: Some(f),
                result: None,
                is_finished: false,
                is_detached: false,
                is_kill_requested: false,
                green: None,
                joiners: Vec::new(),
            }),
        });
        if !packet.send(RemoteCall::Start) {
            // Nothing else has seen the packet.
            let mut state = lock(&packet.state);
            state.finish(Err(JoinError::abandoned()));
            let f = state.f.take();
            drop(state);
            drop(f);
        }
        RemoteJoinHandle {
            packet,
            _remote: self.clone(),
        }
    }
}

impl Builder {
    /// Spawns the green thread on another OS thread, like [`Remote::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::thread::{self, Builder, Remote};
    ///
    /// let here = Remote::current();
    /// let job = Builder::new()
    ///     .name("job".to_owned())
    ///     .spawn_on(&here, || thread::current().name().map(str::to_owned));
    /// assert_eq!(job.join().unwrap().as_deref(), Some("job"));
    /// ```
    #[track_caller]
    pub fn spawn_on<F, T>(mut self, remote: &Remote, f: F) -> RemoteJoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.options.site = Location::caller();
        remote.spawn_with(self.options, Box::new(f))
    }
}

impl Clone for Remote {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.message))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.message.scheduler.remove_remote();
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

// The program sees nothing of the state behind it.
impl UnwindSafe for Remote {}
impl RefUnwindSafe for Remote {}

/// An owned permission to join or kill a green thread of another OS thread. Returned by
/// [`Remote::spawn`].
///
/// Dropping the handle detaches the green thread, which runs on.
///
/// While a handle exists, it counts as a [`Remote`] for deadlock reports.
pub struct RemoteJoinHandle<T> {
    packet: Arc<Packet<T>>,
    /// A kill may wake others, so the handle counts as a `Remote`.
    _remote: Remote,
}

impl<T> RemoteJoinHandle<T> {
    /// Waits for the green thread to finish and returns its result. The caller may be a green thread
    /// of any OS thread, or an OS thread that has never used evy.
    ///
    /// Parks until the green thread has finished, or until its OS thread has ended.
    ///
    /// # Errors
    ///
    /// Returns a [`JoinError`] if the green thread panicked, was killed or was abandoned.
    ///
    /// # Panics
    ///
    /// Panics if a green thread joins itself, and if a `join` arm of
    /// [`select!`](crate::select!) has taken the result.
    pub fn join(self) -> Result<T> {
        charge(|| !self.is_finished());
        self.wait_until(None);
        self.take_result()
    }

    /// Waits for the green thread like [`join`](Self::join), for at most `timeout`.
    ///
    /// Parks until the green thread has finished, or for `timeout`.
    ///
    /// # Errors
    ///
    /// Returns the handle if the green thread has not finished in time.
    ///
    /// # Panics
    ///
    /// Panics as [`join`](Self::join) does.
    pub fn join_timeout(self, timeout: Duration) -> std::result::Result<Result<T>, Self> {
        match self.wait_until(deadline_after_any_thread(timeout)) {
            true => Ok(self.take_result()),
            false => Err(self),
        }
    }

    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        // No other OS thread exists in a child, and one may have held the lock.
        if fork::is_child() {
            return true;
        }
        let is_own = lock(&self.packet.state).is_own();
        assert!(!is_own, "a green thread cannot join itself");
        self.add_joiner(0);
        park_while(WaitReason::Join, deadline, || !self.is_finished())
    }

    /// Takes the result of a green thread that has finished.
    pub(crate) fn take_result(&self) -> Result<T> {
        if fork::is_child() {
            return Err(JoinError::abandoned());
        }
        let result = lock(&self.packet.state).result.take();
        result.expect("the result of this green thread was already taken")
    }

    /// Makes the end of the green thread unpark the caller. Returns `false` if it has ended already.
    ///
    /// `key` is zero for a join, which there is one of at a time.
    pub(crate) fn add_joiner(&self, key: usize) -> bool {
        if self.is_finished() {
            return false;
        }
        let mut state = lock(&self.packet.state);
        state.joiners.retain(|(other, _)| *other != key);
        state.joiners.push((key, Parker::current()));
        !state.is_finished
    }

    /// Takes back what [`add_joiner`](Self::add_joiner) has done.
    pub(crate) fn remove_joiner(&self, key: usize) {
        if !fork::is_child() {
            let mut state = lock(&self.packet.state);
            state.joiners.retain(|(other, _)| *other != key);
        }
    }

    /// Returns `true` if the green thread has finished, or will never finish.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        fork::is_child() || lock(&self.packet.state).is_finished
    }
}

impl<T: Send + 'static> RemoteJoinHandle<T> {
    /// Requests that the green thread be killed. It unwinds from where it is parked, on its own OS
    /// thread, and its destructors run.
    ///
    /// A green thread that has not started when its OS thread takes the request never runs. See
    /// [`JoinHandle::kill`](super::JoinHandle::kill) for when a kill is deferred.
    ///
    /// Never parks: it does not wait for the green thread to unwind, as [`join`](Self::join) does.
    #[doc(alias = "abort")]
    pub fn kill(&self) {
        charge_without_yield();
        if fork::is_child() {
            return;
        }
        let mut state = lock(&self.packet.state);
        if state.is_finished || state.is_kill_requested {
            return;
        }
        state.is_kill_requested = true;
        drop(state);
        self.packet.send(RemoteCall::Kill);
    }
}

impl<T> Drop for RemoteJoinHandle<T> {
    fn drop(&mut self) {
        if fork::is_child() {
            return;
        }
        let mut state = lock(&self.packet.state);
        state.is_detached = true;
        // What never ran is dropped here. Otherwise the green thread needs it, or has used it up.
        let f = match state.is_finished {
            true => state.f.take(),
            false => None,
        };
        let result = state.result.take();
        drop(state);
        drop((f, result));
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl<T> UnwindSafe for RemoteJoinHandle<T> {}
impl<T> RefUnwindSafe for RemoteJoinHandle<T> {}

/// What the handle shares with the green thread.
struct Packet<T> {
    message: Arc<RemoteHandle>,
    /// The id of the green thread that has sent the closure, or zero.
    parent: u64,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// `None` once the owner has taken the call.
    options: Option<SpawnOptions>,
    /// `None` once the green thread runs.
    f: Option<Box<dyn FnOnce() -> T + Send>>,
    result: Option<Result<T>>,
    is_finished: bool,
    /// The handle has been dropped.
    is_detached: bool,
    is_kill_requested: bool,
    /// The green thread, from its spawn to its end.
    green: Option<Arc<RemoteHandle>>,
    /// What to unpark when the green thread has finished, by key.
    joiners: Joiners,
}

type Joiners = Vec<(usize, Parker)>;

fn unpark_all(joiners: Joiners) {
    for (_, joiner) in joiners {
        joiner.unpark();
    }
}

impl<T> State<T> {
    /// Whether the running green thread is the one that this belongs to.
    fn is_own(&self) -> bool {
        let own = self.green.as_ref().map(|green| green.identity.id);
        own.is_some() && own == sched::if_current().map(|scheduler| scheduler.running().id())
    }

    /// Stores the result, or returns it if nothing will ask for it. Also returns the joiners, which
    /// are to be unparked without the lock.
    fn finish(&mut self, result: Result<T>) -> (Option<Result<T>>, Joiners) {
        self.is_finished = true;
        self.green = None;
        let unwanted = match self.is_detached {
            true => Some(result),
            false => {
                self.result = Some(result);
                None
            }
        };
        (unwanted, mem::take(&mut self.joiners))
    }
}

impl<T: Send + 'static> Packet<T> {
    /// Sends a call to the owner. Returns `false` if the OS thread has ended.
    fn send(self: &Arc<Self>, call: fn(Arc<dyn RemoteSpawn>) -> RemoteCall) -> bool {
        let spawn: Arc<dyn RemoteSpawn> = Arc::clone(self) as _;
        // In a child, an OS thread that does not exist there may have held the lock.
        let is_sent = !fork::is_child() && self.message.scheduler.calls.push(call(spawn)).is_ok();
        if is_sent {
            self.message.send();
        }
        is_sent
    }

    /// Runs the closure. Called on the stack of the green thread.
    fn run(&self) -> T {
        let f = lock(&self.state).f.take();
        f.expect("a closure runs once")()
    }

    /// Ends the packet of a green thread that has run, or was killed before. Called on its stack.
    fn complete(&self, id: u64, result: Result<T>) {
        // Its destructor may park, and panic.
        let f = lock(&self.state).f.take();
        if let Err(payload) = catch(|| drop(f)) {
            mem::forget(payload);
        }
        if let Some(scheduler) = sched::if_current() {
            scheduler.remote_spawns.borrow_mut().remove(&id);
        }
        let (unwanted, joiners) = lock(&self.state).finish(result);
        unpark_all(joiners);
        drop(unwanted);
    }

    /// Ends the packet of a green thread that will not run, or not to its end. Returns the closure if
    /// it is still there and the handle will not drop it.
    fn give_up(&self, error: JoinError) -> Option<Leftover> {
        let mut state = lock(&self.state);
        if state.is_finished {
            return None;
        }
        let (_error, joiners) = state.finish(Err(error));
        let f = match state.is_detached {
            true => state.f.take(),
            false => None,
        };
        drop(state);
        unpark_all(joiners);
        f.map(|f| Box::new(f) as Leftover)
    }
}

impl<T: Send + 'static> RemoteSpawn for Packet<T> {
    fn start(self: Arc<Self>) -> Option<Leftover> {
        let options = lock(&self.state).options.take()?;
        let (packet, site) = (Arc::clone(&self), options.site);
        // If it cannot be spawned, the closure stays in the packet.
        let local = match (Builder { options }).spawn_at(site, move || packet.run()) {
            Ok(local) => local,
            Err(error) => return self.give_up(JoinError::not_spawned(&error)),
        };
        let scheduler = sched::current();
        let green = local.green()?;
        let id = green.id();
        green.set_parent(self.parent);
        let packet = Arc::clone(&self);
        let complete = move || packet.complete(id, local.take_result());
        exit_hooks::add(green, Box::new(complete));
        let mut state = lock(&self.state);
        state.green = Some(scheduler.remote_handle(green));
        let is_kill_requested = state.is_kill_requested;
        drop(state);
        scheduler.remote_spawns.borrow_mut().insert(id, self);
        if is_kill_requested {
            kill::request_kill_later(scheduler, green);
        }
        None
    }

    fn kill(&self) {
        let scheduler = sched::current();
        let green = lock(&self.state).green.clone();
        if let Some(green) = green.and_then(|green| scheduler.own_green(&green)) {
            kill::request_kill_later(scheduler, green);
        }
    }

    fn abandon(&self) -> Option<Leftover> {
        self.give_up(JoinError::abandoned())
    }
}
