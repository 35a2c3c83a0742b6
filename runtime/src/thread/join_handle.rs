//! `JoinHandle`: the result of a green thread, and the means to end it.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::{charge, charge_without_yield};
use super::exit_hooks::{self, ExitHookId};
use super::interrupt;
use super::join_error::{JoinError, Result};
use super::kill_handle::{KillHandle, Killable};
use super::packet::{Completion, Job, Packet, Stage};
use super::thread::Thread;
use super::wait_queue::WaitQueue;
use crate::green::{GreenRef, RemoteHandle, StaysOnItsOsThread, WaitReason};
use crate::sched;

/// An owned permission to join or kill a green thread, like [`std::thread::JoinHandle`].
///
/// Dropping the handle detaches the green thread, which runs on.
///
/// # Differences from std
///
/// - A handle stays on its OS thread.
/// - The error is a [`JoinError`]: a green thread can also be killed.
///
/// # Examples
///
/// ```
/// let answer = evy::spawn(|| 6 * 7);
/// assert_eq!(answer.join().unwrap(), 42);
/// ```
pub struct JoinHandle<T> {
    owner: PhantomData<*const StaysOnItsOsThread>,
    packet: Rc<Packet<T>>,
}

impl<T> JoinHandle<T> {
    /// Creates a handle, and the job that a green thread must run for it.
    pub(super) fn new<F: FnOnce() -> T>(f: F) -> (Job<F, T>, Self) {
        let packet = Packet::new();
        let completion = Completion::new(Rc::clone(&packet));
        (Job { f, completion }, Self::of(packet))
    }

    fn of(packet: Rc<Packet<T>>) -> Self {
        Self {
            owner: PhantomData,
            packet,
        }
    }

    pub(super) fn attach(&self, green: GreenRef) {
        self.packet.green.set(Some(green));
        self.packet.identity.set(Some(green.identity()));
    }

    /// Returns the green thread, unless it has ended.
    pub(super) fn green(&self) -> Option<GreenRef> {
        self.packet.green.get()
    }

    /// Waits for the green thread to finish and returns its result.
    ///
    /// Parks until the green thread has finished.
    ///
    /// # Errors
    ///
    /// Returns a [`JoinError`] if the green thread panicked or was killed.
    ///
    /// # Panics
    ///
    /// Panics if a green thread joins itself, and on the root green thread if a deadlock is
    /// detected.
    #[inline]
    pub fn join(self) -> Result<T> {
        charge(|| !self.is_finished());
        self.take_result()
    }

    /// Waits for the green thread to finish and takes its result, like [`join`](Self::join) through
    /// a shared reference.
    ///
    /// Parks until the green thread has finished.
    ///
    /// # Errors
    ///
    /// Returns an error as `join` does.
    ///
    /// # Panics
    ///
    /// Panics as `join` does, and if the result of this green thread was already taken.
    #[inline(always)]
    pub fn take_result(&self) -> Result<T> {
        if !self.wait_until(None) && self.is_abandoned() {
            return Err(JoinError::abandoned());
        }
        self.packet
            .result
            .take()
            .expect("the result of this green thread was already taken")
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
        match self.wait_until(sched::deadline_after(timeout)) {
            true => Ok(self.take_result()),
            false => Err(self),
        }
    }

    /// Waits for the green thread to finish, without taking its result.
    ///
    /// Parks until the green thread has finished.
    ///
    /// # Panics
    ///
    /// Panics as [`join`](Self::join) does.
    pub fn wait(&self) {
        charge(|| !self.is_finished());
        self.wait_until(None);
    }

    /// Parks until the green thread has finished. Returns `false` if the deadline passed first, or
    /// if the green thread will never finish.
    #[inline(always)]
    pub(super) fn wait_until(&self, deadline: Option<Instant>) -> bool {
        match self.packet.stage.get() {
            Stage::Running => assert!(!self.is_own(), "a green thread cannot join itself"),
            // An exit hook, which finds the result in place.
            Stage::RunningExitHooks if self.is_own() => return true,
            Stage::RunningExitHooks => {}
            Stage::Finished => return true,
        }
        if self.is_abandoned() {
            return false;
        }
        let joiners = &self.packet.joiners;
        joiners.wait_deadline(WaitReason::Join, deadline) || self.is_finished()
    }

    /// Whether the scheduler of the green thread has ended. A handle can outlive it in a
    /// thread-local variable, and be used by another one's destructor.
    fn is_abandoned(&self) -> bool {
        let Some(green) = self.packet.green.get() else {
            return false;
        };
        let current = sched::if_current().map_or(ptr::null(), ptr::from_ref);
        !ptr::eq(green.scheduler, current.cast())
    }

    /// Whether the handle belongs to the running green thread.
    pub(super) fn is_own(&self) -> bool {
        self.packet.is_own()
    }

    pub(crate) fn joiners(&self) -> &WaitQueue {
        &self.packet.joiners
    }

    /// Returns `true` if the green thread has finished.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.packet.stage.get() == Stage::Finished
    }

    /// Kills the green thread: it unwinds from where it is parked, and its destructors run.
    ///
    /// [`join`](Self::join) then returns a [`JoinError`] for which
    /// [`is_killed`](JoinError::is_killed) is true. A green thread that has not started never runs.
    /// A green thread that has finished is not affected.
    ///
    /// `kill` returns once the green thread has run up to its next parking point, or has finished.
    /// A kill is deferred while the green thread is in [`shield`](super::shield) or already
    /// unwinding, and is thrown again if a `catch_unwind` swallows it. A loop that never parks
    /// cannot be killed. With `panic = "abort"` only green threads that have not started can be
    /// killed.
    ///
    /// A kill that reaches an `extern "C"` function of Rust aborts the process, as any panic does.
    /// This is the case if a C library calls back into Rust and the callback parks. Call `shield`
    /// around the call of the C library, or in the callback.
    ///
    /// Nothing unwinds from a wait of an unchanged library, with the feature `patch`. Such a wait on a
    /// socket returns an error, and others last to their end. The next call of evy then unwinds. If
    /// there is none, `join` returns the value of the closure.
    ///
    /// # Panics
    ///
    /// A green thread that kills itself unwinds from here.
    #[doc(alias = "abort")]
    pub fn kill(&self) {
        charge_without_yield();
        self.packet.kill();
    }

    /// Kills the green thread like [`kill`](Self::kill), unwinding it with `error` as the panic
    /// payload.
    ///
    /// [`join`](Self::join) then returns a [`JoinError`] that carries `error`. If the green thread
    /// catches it and continues, an ordinary kill follows.
    ///
    /// # Panics
    ///
    /// A green thread that kills itself unwinds from here.
    ///
    /// # Examples
    ///
    /// ```
    /// let idle = evy::spawn(evy::thread::park);
    /// idle.kill_with("took too long");
    /// let payload = idle.join().unwrap_err().into_panic();
    /// assert_eq!(payload.downcast_ref(), Some(&"took too long"));
    /// ```
    pub fn kill_with(&self, error: impl Any + Send) {
        if let Some(green) = self.packet.green.get() {
            interrupt::kill(green, Some(Box::new(error)));
        }
    }

    /// Kills the green thread if it has not started. Returns `true` if it was killed.
    pub fn cancel(&self) -> bool {
        let unstarted = |green: &GreenRef| !green.started.get();
        let Some(green) = self.packet.green.get().filter(unstarted) else {
            return false;
        };
        interrupt::kill(green, None);
        true
    }

    /// Returns a [`KillHandle`], which can kill the green thread but not join it.
    #[doc(alias = "abort_handle")]
    #[must_use]
    pub fn kill_handle(&self) -> KillHandle
    where
        T: 'static,
    {
        let packet: Rc<dyn Killable> = Rc::clone(&self.packet) as Rc<dyn Killable>;
        KillHandle::new(Rc::downgrade(&packet))
    }

    /// Returns a closure that cancels the green thread, and that may outlive this handle.
    pub(super) fn canceler(&self) -> impl FnOnce() + 'static
    where
        T: 'static,
    {
        let packet = Rc::downgrade(&self.packet);
        move || {
            if let Some(packet) = packet.upgrade() {
                Self::of(packet).cancel();
            }
        }
    }

    /// Returns the [`Thread`] handle of the green thread.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "a handle has an identity before it is returned"
    )]
    pub fn thread(&self) -> &Thread {
        self.packet.thread.get_or_init(|| {
            let scheduler = sched::current();
            Thread::new(match self.packet.green.get() {
                Some(green) => scheduler.remote_handle(green),
                None => {
                    let owner = Arc::clone(&scheduler.own_handle);
                    let identity = self.packet.identity.get().expect("set by `attach`");
                    Arc::new(RemoteHandle::ended(identity, owner))
                }
            })
        })
    }

    /// Registers `f` to run when the green thread finishes. Returns an id for
    /// [`remove_exit_hook`](Self::remove_exit_hook).
    ///
    /// Hooks run on the green thread's own stack, in the order of their registration, before any
    /// joiner wakes. The result is stored by then, so a hook may take it. Hooks that `f` registers
    /// run last. Kills are deferred while hooks run. If the green thread has finished already, `f`
    /// runs at once.
    ///
    /// A panic of a hook is reported by the panic hook and has no other effect.
    ///
    /// # Panics
    ///
    /// Panics if `f` runs at once and panics.
    #[doc(alias = "link")]
    pub fn on_exit(&self, f: impl FnOnce() + 'static) -> ExitHookId {
        match self.packet.green.get() {
            Some(green) => exit_hooks::add(green, Box::new(f)),
            None => {
                f();
                ExitHookId::already_run()
            }
        }
    }

    /// Removes a hook registered with [`on_exit`](Self::on_exit). Returns `false` if it has already run
    /// or been removed, or if it was registered for another green thread.
    #[doc(alias = "unlink")]
    pub fn remove_exit_hook(&self, id: ExitHookId) -> bool {
        let green = self.packet.green.get();
        green.is_some_and(|green| exit_hooks::remove(green, id))
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
