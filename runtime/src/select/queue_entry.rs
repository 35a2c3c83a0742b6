//! Where an arm stands in a queue of its OS thread.

use crate::sched;
use crate::thread::{SelectToken, WaitEntry, WaitQueue};

/// A place in one queue, for as many rounds as the select takes. What the arm brings stays in its
/// slot from one to the next, unless somebody takes it.
pub(super) struct QueueEntry<'a, T> {
    queue: &'a WaitQueue<T>,
    entry: WaitEntry<T>,
}

impl<'a, T> QueueEntry<'a, T> {
    pub(super) fn new(queue: &'a WaitQueue<T>, brought: Option<T>) -> Self {
        Self {
            queue,
            entry: WaitEntry::new(sched::current(), brought),
        }
    }

    /// # Safety
    ///
    /// As for an arm's `enter`.
    pub(super) unsafe fn register(&self, token: SelectToken) {
        self.entry.prepare(sched::current(), token);
        // SAFETY: it stays where it is until it has left, and the choice as long (caller).
        unsafe { self.entry.enter(self.queue) };
    }

    pub(super) fn unregister(&self) {
        // SAFETY: entered there, if anywhere.
        unsafe { self.entry.leave(self.queue) };
    }

    /// What is in the slot.
    pub(super) fn take(&self) -> Option<T> {
        self.entry.take()
    }

    pub(super) fn set_slot(&self, value: Option<T>) {
        self.entry.set_slot(value);
    }
}
