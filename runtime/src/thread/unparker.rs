//! `Unparker`: wakes a green thread from any OS thread.

use std::fmt;
use std::sync::Arc;

use crate::green::RemoteHandle;

/// Unparks one green thread from any OS thread. Returned by
/// [`Thread::unparker`](super::Thread::unparker).
///
/// While an `Unparker` exists, no deadlock is reported on the OS thread of its green thread,
/// because the `Unparker` may still be used.
///
/// # Examples
///
/// ```
/// use evy::thread;
///
/// let unparker = thread::current().unparker();
/// std::thread::spawn(move || unparker.unpark());
/// thread::park();
/// ```
pub struct Unparker {
    handle: Arc<RemoteHandle>,
}

impl Unparker {
    pub(super) fn new(handle: Arc<RemoteHandle>) -> Self {
        handle.scheduler.mailbox.add_sender();
        Self { handle }
    }

    /// Ends the current or the next [`park`](super::park) of the green thread. Does nothing if the
    /// green thread has ended.
    pub fn unpark(&self) {
        self.handle.send_token();
    }
}

impl Clone for Unparker {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.handle))
    }
}

impl Drop for Unparker {
    fn drop(&mut self) {
        let scheduler = &self.handle.scheduler;
        scheduler.mailbox.remove_sender(|| scheduler.notify());
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unparker")
            .field("id", &self.handle.identity.id)
            .finish_non_exhaustive()
    }
}
