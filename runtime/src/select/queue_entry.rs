//! `QueueEntry`: the entry of an arm in a queue of its OS thread.

use crate::sched;
use crate::thread::{SelectToken, WaitEntry, WaitQueue};

/// An entry in one queue. It is registered again each time that the select waits. A value that the
/// arm offers stays in the slot from one wait to the next, unless it is taken.
pub(super) struct QueueEntry<'a, T> {
    queue: &'a WaitQueue<T>,
    entry: WaitEntry<T>,
}

impl<'a, T> QueueEntry<'a, T> {
    pub(super) fn new(queue: &'a WaitQueue<T>, value: Option<T>) -> Self {
        Self {
            queue,
            entry: WaitEntry::new(sched::current(), value),
        }
    }

    /// Adds the entry to the queue.
    ///
    /// # Safety
    ///
    /// The same conditions hold as for
    /// [`SelectHandle::register`](super::arms::SelectHandle::register).
    pub(super) unsafe fn register(&self, token: SelectToken) {
        self.entry.prepare(sched::current(), token);
        // SAFETY: the entry and the selection do not move until the entry has been unregistered
        // (caller).
        unsafe { self.entry.enter(self.queue) };
    }

    pub(super) fn unregister(&self) {
        // SAFETY: the entry is in this queue, or in none.
        unsafe { self.entry.leave(self.queue) };
    }

    /// Takes the value in the slot.
    pub(super) fn take(&self) -> Option<T> {
        self.entry.take()
    }

    pub(super) fn set_slot(&self, value: Option<T>) {
        self.entry.set_slot(value);
    }
}
