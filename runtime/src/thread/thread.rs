//! `Thread`: a handle to a green thread, and its `ThreadId`.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::budget::charge_without_yield;
use super::interrupt;
use super::unparker::Unparker;
use crate::green::{Identity, RemoteHandle, StaysOnItsOsThread};
use crate::sched;

/// The id of a green thread, unique in the process. Like [`std::thread::ThreadId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(NonZeroU64);

impl ThreadId {
    pub(crate) fn of(identity: Identity) -> Self {
        Self(NonZeroU64::new(identity.id).expect("ids begin at one"))
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A handle to a green thread, like [`std::thread::Thread`].
///
/// # Differences from std
///
/// - A `Thread` stays on its OS thread. An [`Unparker`] can be sent to others.
#[derive(Clone)]
pub struct Thread {
    handle: Arc<RemoteHandle>,
    /// `[owner-thread]` `unpark` and `kill` access the scheduler.
    owner: PhantomData<*const StaysOnItsOsThread>,
}

impl Thread {
    pub(super) fn new(handle: Arc<RemoteHandle>) -> Self {
        Self {
            handle,
            owner: PhantomData,
        }
    }

    /// Returns the unique id of the green thread.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        ThreadId::of(self.handle.identity)
    }

    /// Returns the id of the green thread that spawned this one, or `None` for a root green thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::thread;
    ///
    /// let child = thread::spawn(|| thread::current().parent());
    /// assert_eq!(child.join().unwrap(), Some(thread::current().id()));
    /// ```
    #[must_use]
    pub fn parent(&self) -> Option<ThreadId> {
        NonZeroU64::new(self.handle.identity.parent).map(ThreadId)
    }

    /// Returns the source location of the spawn; for a root green thread, of the first evy call.
    #[must_use]
    pub fn spawned_at(&self) -> &'static std::panic::Location<'static> {
        self.handle.identity.site
    }

    pub(crate) fn raw_id(&self) -> u64 {
        self.handle.identity.id
    }

    /// Returns the name set by [`Builder::name`](super::Builder::name). A root green thread has the
    /// name of its OS thread.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.handle.name.as_deref()
    }

    /// Ends the current or the next [`park`](super::park) of the green thread, like
    /// [`std::thread::Thread::unpark`]. Does nothing if the green thread has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::thread;
    ///
    /// let sleeper = thread::spawn(thread::park);
    /// sleeper.thread().unpark();
    /// sleeper.join().unwrap();
    /// ```
    pub fn unpark(&self) {
        if let Some(scheduler) = sched::if_current()
            && let Some(green) = scheduler.own_green(&self.handle)
        {
            charge_without_yield();
            scheduler.give_token(green);
        }
    }

    /// Kills the green thread, like [`JoinHandle::kill`](super::JoinHandle::kill). Does nothing if
    /// it has ended.
    ///
    /// # Panics
    ///
    /// Panics if it is a root green thread: nothing could catch the kill, so its OS thread would
    /// end.
    /// A green thread that kills itself unwinds from here.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::thread;
    ///
    /// let waits = thread::spawn(thread::park);
    /// let thread = waits.thread().clone();
    /// thread.kill();
    /// assert!(waits.join().unwrap_err().is_killed());
    /// ```
    #[doc(alias = "abort")]
    pub fn kill(&self) {
        if let Some(scheduler) = sched::if_current()
            && let Some(green) = scheduler.own_green(&self.handle)
        {
            assert!(
                green != scheduler.root(),
                "a root green thread cannot be killed: its OS thread would end"
            );
            interrupt::kill(green, None);
        }
    }

    /// Returns an [`Unparker`] for use on other OS threads.
    ///
    /// While one exists, no deadlock is reported on this OS thread.
    #[must_use]
    pub fn unparker(&self) -> Unparker {
        Unparker::new(Arc::clone(&self.handle))
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
