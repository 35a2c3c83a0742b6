//! Where an arm stands in a queue of its OS thread.

use crate::sched;
use crate::thread::{Entry, Ticket, WaitQueue};

/// A place in one queue, for as many rounds as the select takes. What the arm brings stays in its
/// slot from one to the next, unless somebody takes it.
pub(super) struct Standing<'a, T> {
    queue: &'a WaitQueue<T>,
    entry: Entry<T>,
}

impl<'a, T> Standing<'a, T> {
    pub(super) fn new(queue: &'a WaitQueue<T>, brought: Option<T>) -> Self {
        Self {
            queue,
            entry: Entry::new(sched::current(), brought),
        }
    }

    /// # Safety
    ///
    /// As for an arm's `enter`.
    pub(super) unsafe fn enter(&self, ticket: Ticket) {
        self.entry.prepare(sched::current(), ticket);
        // SAFETY: it stays where it is until it has left, and the choice as long (caller).
        unsafe { self.entry.enter(self.queue) };
    }

    pub(super) fn leave(&self) {
        // SAFETY: entered there, if anywhere.
        unsafe { self.entry.leave(self.queue) };
    }

    /// What is in the slot.
    pub(super) fn take(&self) -> Option<T> {
        self.entry.take()
    }

    pub(super) fn bring(&self, value: Option<T>) {
        self.entry.bring(value);
    }
}
