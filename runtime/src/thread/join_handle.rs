//! `JoinHandle`: the result of a green thread, and the power over its life.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::error::Error;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::functions::deadline_after;
use super::handle::Thread;
use super::interrupt;
use super::unwinding::{catch, rethrow};
use super::wait_queue::WaitQueue;
use crate::green::{GreenRef, Identity, WaitReason};
use crate::inbox::RemoteHandle;
use crate::sched;

/// Why a green thread has no result.
pub enum JoinError {
    /// It was killed, or cancelled before it started.
    Killed,
    /// It panicked; the payload is what the panic carried.
    Panicked(Box<dyn Any + Send + 'static>),
}

impl JoinError {
    /// The payload of the panic, to be passed to [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If it was killed.
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self {
            Self::Panicked(payload) => payload,
            Self::Killed => panic!("the green thread was killed, it did not panic"),
        }
    }

    /// Whether it was killed, or cancelled before it started.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        matches!(self, Self::Killed)
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed => f.write_str("Killed"),
            Self::Panicked(_) => f.debug_tuple("Panicked").finish_non_exhaustive(),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Panicked(payload) = self else {
            return f.write_str("the green thread was killed");
        };
        let message = payload.downcast_ref::<&str>().copied();
        match message.or_else(|| payload.downcast_ref::<String>().map(String::as_str)) {
            Some(message) => write!(f, "the green thread panicked: {message}"),
            None => f.write_str("the green thread panicked"),
        }
    }
}

impl Error for JoinError {}

/// What the green thread and its handle share. It lies on the heap: a result must outlive the stack
/// that it was computed on.
struct Packet<T> {
    result: Cell<Option<Result<T, JoinError>>>,
    stage: Cell<Stage>,
    /// While it lives. ([live-ref] 4)
    green: Cell<Option<GreenRef>>,
    identity: Cell<Option<Identity>>,
    /// Who it is, made when asked for, or at the end if it has a name that would be lost.
    thread: OnceCell<Thread>,
    joiners: WaitQueue,
}

/// How far a green thread has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// The result is there, and its links are being called.
    RunningExitHooks,
    Finished,
}

/// A packet whose result does not matter.
trait Killable {
    fn kill(&self);
}

impl<T> Killable for Packet<T> {
    fn kill(&self) {
        if let Some(green) = self.green.get() {
            interrupt::kill(green, None);
        }
    }
}

/// Kills one green thread; made by [`JoinHandle::kill_handle`]. It keeps nothing alive.
#[derive(Clone)]
pub struct KillHandle(Weak<dyn Killable>);

impl KillHandle {
    /// As [`JoinHandle::kill`]; nothing if it has ended.
    ///
    /// # Panics
    ///
    /// A green thread that kills itself unwinds in here.
    pub fn kill(&self) {
        if let Some(packet) = self.0.upgrade() {
            packet.kill();
        }
    }
}

impl fmt::Debug for KillHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KillHandle").finish_non_exhaustive()
    }
}

/// Runs `f` in the calling green thread, now, and returns a handle to its result: for a pool whose
/// member asks for more than there is room for. A panic of `f` becomes the result; a kill or a
/// timeout of the caller passes through.
///
/// Parks where `f` does.
///
/// # Examples
///
/// ```
/// let done = evy_runtime::lowlevel::run_inline(|| 1 + 1);
/// assert!(done.is_finished());
/// assert_eq!(done.join().unwrap(), 2);
/// ```
pub fn run_inline<T>(f: impl FnOnce() -> T) -> JoinHandle<T> {
    let (completion, handle) = packet();
    let result = catch(f).map_err(|payload| {
        if payload.is::<interrupt::Interrupt>() {
            rethrow(payload);
        }
        JoinError::Panicked(payload)
    });
    handle.0.result.set(Some(result));
    drop(completion);
    handle
}

/// The green thread's end of a packet. However it goes, there is a result afterwards.
pub(super) struct Completion<T>(Rc<Packet<T>>);

pub(super) fn packet<T>() -> (Completion<T>, JoinHandle<T>) {
    let packet = Rc::new(Packet {
        result: Cell::new(None),
        stage: Cell::new(Stage::Running),
        green: Cell::new(None),
        identity: Cell::new(None),
        thread: OnceCell::new(),
        joiners: WaitQueue::new(),
    });
    (Completion(Rc::clone(&packet)), JoinHandle(packet))
}

impl<T> Completion<T> {
    /// Runs `f` for the result; `true` if it has panicked.
    pub(super) fn run(self, f: impl FnOnce() -> T) -> bool {
        let result = catch(f).map_err(|payload| {
            if interrupt::is_kill(&*payload) {
                JoinError::Killed
            } else {
                JoinError::Panicked(payload)
            }
        });
        let panicked = matches!(result, Err(JoinError::Panicked(_)));
        self.0.result.set(Some(result));
        // Before anybody who joins goes on.
        if let Some(green) = self.0.green.get() {
            green.drop_locals();
        }
        panicked
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        let packet = &self.0;
        let green = packet.green.get();
        // Dropped without having run: killed before it started.
        let error = || {
            let cold = green.as_ref().and_then(|green| green.cold());
            match cold.and_then(|cold| cold.error.take()) {
                Some(error) => JoinError::Panicked(error),
                None => JoinError::Killed,
            }
        };
        let result = packet.result.take().unwrap_or_else(|| Err(error()));
        packet.result.set(Some(result));
        // A stack that could not be had has never made a green thread.
        if let Some(green) = green {
            packet.stage.set(Stage::RunningExitHooks);
            if green.cold().is_some() {
                sched::run_exit_hooks(green);
            }
            if Rc::strong_count(packet) > 1 && green.name().is_some() {
                packet
                    .thread
                    .get_or_init(|| Thread::new(sched::current().handle(green)));
            }
            packet.green.set(None);
        }
        packet.stage.set(Stage::Finished);
        packet.joiners.wake_all();
    }
}

/// The handle of a green thread: its result, and the means to end it. Dropping it detaches.
///
/// As [`std::thread::JoinHandle`]; it stays on its OS thread.
///
/// # Examples
///
/// ```
/// let answer = evy_runtime::spawn(|| 6 * 7);
/// assert_eq!(answer.join().unwrap(), 42);
/// ```
pub struct JoinHandle<T>(Rc<Packet<T>>);

impl<T> JoinHandle<T> {
    pub(super) fn attach(&self, green: GreenRef) {
        self.0.green.set(Some(green));
        self.0.identity.set(Some(green.identity()));
    }

    /// Parks until it has ended, and returns its result.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if it panicked or was killed.
    ///
    /// # Panics
    ///
    /// If a green thread joins itself; on the root green thread also if nothing can wake anybody any
    /// more.
    #[inline]
    pub fn join(self) -> Result<T, JoinError> {
        self.take_result()
    }

    /// As [`join`](Self::join), for a handle that is shared.
    ///
    /// # Errors
    ///
    /// As `join`.
    ///
    /// # Panics
    ///
    /// As `join`, and if the result was taken before.
    #[inline(always)]
    pub fn take_result(&self) -> Result<T, JoinError> {
        self.wait_until(None);
        self.0.result.take().expect("the result was taken before")
    }

    /// As [`join`](Self::join), but parks for `timeout` at most.
    ///
    /// # Errors
    ///
    /// The handle itself, if it has not ended in time.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        match self.wait_until(deadline_after(timeout)) {
            true => Ok(self.join()),
            false => Err(self),
        }
    }

    /// Parks until it has ended, and leaves the result where it is.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// Parks until it has ended. `false`: the deadline came first.
    #[inline(always)]
    pub(super) fn wait_until(&self, deadline: Option<Instant>) -> bool {
        match self.0.stage.get() {
            Stage::Running => assert!(!self.is_own(), "a green thread cannot join itself"),
            // One of the links.
            Stage::RunningExitHooks if self.is_own() => return true,
            Stage::RunningExitHooks => {}
            Stage::Finished => return true,
        }
        self.0.joiners.wait_deadline(WaitReason::Join, deadline) || self.is_finished()
    }

    /// Whether it is the running green thread's.
    pub(super) fn is_own(&self) -> bool {
        let running = sched::if_current().map(sched::Scheduler::running);
        running.is_some() && running == self.0.green.get()
    }

    pub(crate) fn joiners(&self) -> &WaitQueue {
        &self.0.joiners
    }

    /// Whether it has ended. Never parks.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.stage.get() == Stage::Finished
    }

    /// Kills it: it unwinds from where it is parked, destructors run, and [`join`](Self::join) says
    /// [`JoinError::Killed`]. One that was not started never runs. One that has ended is left alone.
    ///
    /// Returns when the victim has run up to where it parks next, or has ended. A kill is held back
    /// while the victim is in [`shield`](super::shield) or unwinds already, and comes again if it is
    /// swallowed by a `catch_unwind`. A loop that never parks cannot be killed. With `panic =
    /// "abort"` only green threads that were not started can.
    ///
    /// # Panics
    ///
    /// A green thread that kills itself unwinds in here.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Kills it as [`kill`](Self::kill) does, with an error of its own: the victim unwinds with
    /// `error` as the payload, and [`join`](Self::join) says [`JoinError::Panicked`] with it. If it
    /// is swallowed, an ordinary kill follows.
    ///
    /// # Panics
    ///
    /// As `kill`.
    ///
    /// # Examples
    ///
    /// ```
    /// let idle = evy_runtime::spawn(evy_runtime::thread::park);
    /// idle.kill_with("out of patience");
    /// let payload = idle.join().unwrap_err().into_panic();
    /// assert_eq!(payload.downcast_ref(), Some(&"out of patience"));
    /// ```
    pub fn kill_with(&self, error: impl Any + Send) {
        if let Some(green) = self.0.green.get() {
            interrupt::kill(green, Some(Box::new(error)));
        }
    }

    /// Kills it if it has not started; says whether. Never parks.
    pub fn cancel(&self) -> bool {
        let unstarted = |green: &GreenRef| !green.started.get();
        let Some(green) = self.0.green.get().filter(unstarted) else {
            return false;
        };
        interrupt::kill(green, None);
        true
    }

    /// The right to kill it, without the result. Never parks.
    #[must_use]
    pub fn kill_handle(&self) -> KillHandle
    where
        T: 'static,
    {
        let packet: Rc<dyn Killable> = Rc::clone(&self.0) as Rc<dyn Killable>;
        KillHandle(Rc::downgrade(&packet))
    }

    /// Something that cancels it, and outlives this handle.
    pub(super) fn canceller(&self) -> impl FnOnce() + 'static
    where
        T: 'static,
    {
        let packet = Rc::downgrade(&self.0);
        move || {
            if let Some(packet) = packet.upgrade() {
                Self(packet).cancel();
            }
        }
    }

    /// Who it is. Never parks.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.0.thread.get_or_init(|| {
            let scheduler = sched::current();
            Thread::new(match self.0.green.get() {
                Some(green) => scheduler.handle(green),
                None => {
                    let inbox = Arc::clone(&scheduler.inbox);
                    let inline = || scheduler.running().identity();
                    let identity = self.0.identity.get().unwrap_or_else(inline);
                    Arc::new(RemoteHandle::ended(identity, inbox))
                }
            })
        })
    }

    /// Has `f` called when it ends, on its own stack, after those that were linked before, and
    /// before anybody who joins it wakes: the result is there, for `f` to take. What `f` links in its
    /// turn comes last. A kill is held back meanwhile. If it has ended already, `f` is called right
    /// now.
    ///
    /// A panic of `f` is reported and costs nobody else anything. Never parks.
    ///
    /// # Panics
    ///
    /// As `f` does, where it is called right now.
    pub fn on_exit(&self, f: impl FnOnce() + 'static) -> ExitHookId {
        match self.0.green.get() {
            Some(green) => ExitHookId(super::exit_hooks::add(green, Box::new(f))),
            None => {
                f();
                ExitHookId(0)
            }
        }
    }

    /// Takes back a link; `false` if it was called or taken back before. Never parks.
    pub fn remove_exit_hook(&self, link: ExitHookId) -> bool {
        self.0
            .green
            .get()
            .is_some_and(|green| super::exit_hooks::remove(green, link.0))
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// The name of one [`JoinHandle::on_exit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitHookId(u64);
