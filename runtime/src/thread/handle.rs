//! `Thread`: who a green thread is; `Unparker`: the right to wake it from any OS thread.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::id::ThreadId;
use crate::inbox::RemoteHandle;
use crate::sched;

/// A green thread, as [`std::thread::Thread`] is an OS thread.
///
/// Differs from std: it stays on its OS thread. What crosses is an [`Unparker`].
#[derive(Clone)]
pub struct Thread {
    handle: Arc<RemoteHandle>,
    /// `[owner-thread]` unpark reaches into the scheduler.
    not_send: PhantomData<*const ()>,
}

impl Thread {
    pub(super) fn new(handle: Arc<RemoteHandle>) -> Self {
        Self {
            handle,
            not_send: PhantomData,
        }
    }

    /// Its id. Never parks.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        ThreadId(self.handle.identity.id)
    }

    /// Who spawned it; `None` for a root. Never parks.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy_runtime::thread;
    ///
    /// let child = thread::spawn(|| thread::current().parent());
    /// assert_eq!(child.join().unwrap(), Some(thread::current().id()));
    /// ```
    #[must_use]
    pub fn parent(&self) -> Option<ThreadId> {
        Some(self.handle.identity.parent)
            .filter(|parent| *parent != 0)
            .map(ThreadId)
    }

    /// Where in the program it was spawned; for a root, where evy was first used. Never parks.
    #[must_use]
    pub fn spawned_at(&self) -> &'static std::panic::Location<'static> {
        self.handle.identity.site
    }

    pub(crate) fn number(&self) -> u64 {
        self.handle.identity.id
    }

    /// The name that [`Builder::name`](super::Builder::name) gave it; a root has its OS thread's.
    /// Never parks.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.handle.name.as_deref()
    }

    /// Ends its [`park`](super::park), the present one or the next. Never parks.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy_runtime::thread;
    ///
    /// let sleeper = thread::spawn(thread::park);
    /// sleeper.thread().unpark();
    /// sleeper.join().unwrap();
    /// ```
    pub fn unpark(&self) {
        let Some(scheduler) = sched::if_current() else {
            return;
        };
        if !Arc::ptr_eq(&scheduler.inbox, &self.handle.inbox) {
            return;
        }
        // SAFETY: a `Thread` does not leave the OS thread that it was made on, and that is the
        // owner's: they have one inbox.
        if let Some(green) = unsafe { self.handle.green() } {
            scheduler.give_token(green);
        }
    }

    /// The right to unpark it from any OS thread. Never parks.
    ///
    /// As long as there is one, a wait of any green thread here is not taken for a stall.
    #[must_use]
    pub fn unparker(&self) -> Unparker {
        self.handle.inbox.mailbox.add_remote();
        Unparker {
            handle: Arc::clone(&self.handle),
        }
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

/// Wakes one green thread, from any OS thread. Made by [`Thread::unparker`].
///
/// # Examples
///
/// ```
/// use evy_runtime::thread;
///
/// let unparker = thread::current().unparker();
/// std::thread::spawn(move || unparker.unpark());
/// thread::park();
/// ```
pub struct Unparker {
    handle: Arc<RemoteHandle>,
}

impl Unparker {
    /// Ends the green thread's [`park`](super::park), the present one or the next; does nothing if
    /// it has ended. Never parks.
    pub fn unpark(&self) {
        self.handle.send_token();
    }
}

impl Clone for Unparker {
    fn clone(&self) -> Self {
        self.handle.inbox.mailbox.add_remote();
        Self {
            handle: Arc::clone(&self.handle),
        }
    }
}

impl Drop for Unparker {
    fn drop(&mut self) {
        let inbox = &self.handle.inbox;
        inbox.mailbox.remove_remote(|| inbox.notify());
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unparker")
            .field("id", &self.handle.identity.id)
            .finish_non_exhaustive()
    }
}
