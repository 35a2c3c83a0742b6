//! The `wait` arm.

use std::fmt;

use super::arms::{Arm, SelectHandle};
use super::queue_entry::QueueEntry;
use crate::event::{Event, EventError, Sent};
use crate::thread::SelectToken;

/// Returns an arm that is ready when `event` is set. Its output is that of [`Event::wait`].
pub fn wait<T: Clone>(event: &Event<T>) -> Wait<'_, T> {
    Wait {
        event,
        entry: QueueEntry::new(event.waiters(), None),
    }
}

/// The arm returned by [`wait`].
pub struct Wait<'a, T> {
    event: &'a Event<T>,
    entry: QueueEntry<'a, Sent<T>>,
}

impl<T> SelectHandle for Wait<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }
}

impl<T: Clone> Arm for Wait<'_, T> {
    type Output = Result<T, EventError>;

    fn try_select(&self) -> Option<Self::Output> {
        self.event.sent()
    }

    fn accept(&self) -> Option<Self::Output> {
        self.entry.take().map(|sent| Result::clone(&sent))
    }
}

impl<T> fmt::Debug for Wait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
