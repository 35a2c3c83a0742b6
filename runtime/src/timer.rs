//! Deadlines of parked green threads.
//!
//! A green thread waits in one place at a time, so one timer each is enough, and it lies in the
//! control block: setting one allocates nothing. A timeout scope around a block of code is no timer
//! of its own; a green thread that parks inside takes the earliest of what applies to it.

use std::ptr::NonNull;
use std::time::Instant;

use crate::green::{GreenRef, GreenThread};
use crate::heap::Heap;

/// All deadlines of one scheduler.
#[derive(Debug)]
pub(crate) struct Timers {
    heap: Heap<Instant, NonNull<GreenThread>>,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { heap: Heap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.len() == 0
    }

    /// How many are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Sets the timer of `green`, which must not be set.
    pub(crate) fn set(&self, green: GreenRef, deadline: Instant) {
        // SAFETY: the node lies in a pinned control block, and is unlinked before that goes: when
        // the green thread becomes ready, which it must before it can end ([live-ref] 3).
        unsafe { self.heap.insert(NonNull::from(&green.timer), deadline) };
    }

    /// Unsets the timer of `green`, if it is set.
    #[inline]
    pub(crate) fn cancel(&self, green: GreenRef) {
        if green.timer.is_linked() {
            // SAFETY: the timers of a scheduler's green threads are linked in its heap only.
            unsafe { self.heap.remove(NonNull::from(&green.timer)) };
        }
    }

    /// The first deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first_key()
    }

    /// Unsets the first timer that is due, and says whose it was.
    pub(crate) fn pop_expired(&self, now: Instant) -> Option<GreenRef> {
        let node = self.heap.pop_due(now)?;
        // SAFETY: it was linked a moment ago, so its green thread lives ([live-ref] 3).
        Some(unsafe { GreenRef::new(node.as_ref().value) })
    }
}
