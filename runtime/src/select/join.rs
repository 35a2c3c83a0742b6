//! The `join` arm.

use std::fmt;

use super::arms::{Arm, SelectHandle};
use super::queue_entry::QueueEntry;
use crate::thread::{JoinHandle, Result, SelectToken};

/// Returns an arm that is ready when the green thread has finished. Its output is the result.
///
/// The result can be taken once: a second `join` arm of the same handle panics, like
/// [`JoinHandle::take_result`].
pub fn join<T>(handle: &JoinHandle<T>) -> Join<'_, T> {
    Join {
        handle,
        entry: QueueEntry::new(handle.joiners(), None),
    }
}

/// The arm returned by [`join`].
pub struct Join<'a, T> {
    handle: &'a JoinHandle<T>,
    entry: QueueEntry<'a, ()>,
}

impl<T> SelectHandle for Join<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }
}

impl<T> Arm for Join<'_, T> {
    type Output = Result<T>;

    fn try_select(&self) -> Option<Self::Output> {
        self.handle.is_finished().then(|| self.handle.take_result())
    }
}

impl<T> fmt::Debug for Join<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").finish_non_exhaustive()
    }
}
