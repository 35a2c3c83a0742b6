//! The deadlines of parked green threads.
//!
//! A green thread waits for one thing at a time, so one timer for each is enough. The timer is part
//! of the control block, so setting it allocates nothing. A timeout scope has no timer of its own:
//! a green thread that parks inside one sets its timer to the earliest deadline that applies.

use std::ptr::NonNull;
use std::time::Instant;

use crate::green::{GreenRef, GreenThread};
use crate::heap::Heap;

/// The timers of one scheduler.
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

    /// Returns the number of timers that are set.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Sets the timer of `green`, which must not be set.
    pub(crate) fn set(&self, green: GreenRef, deadline: Instant) {
        // SAFETY:
        // - the node is part of a control block, which is pinned;
        // - it is unlinked when the green thread becomes ready, which happens before the green
        //   thread can end ([live-ref] 3).
        unsafe { self.heap.insert(NonNull::from(&green.timer), deadline) };
    }

    /// Cancels the timer of `green`, if it is set.
    #[inline]
    pub(crate) fn cancel(&self, green: GreenRef) {
        if green.timer.is_linked() {
            // SAFETY: the timers of a scheduler's green threads are linked in no other heap than
            // its own.
            unsafe { self.heap.remove(NonNull::from(&green.timer)) };
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first_key()
    }

    /// Cancels the first timer that has expired, and returns its green thread.
    pub(crate) fn pop_expired(&self, now: Instant) -> Option<GreenRef> {
        let node = self.heap.pop_expired(now)?;
        // SAFETY: the node was linked until now, so its green thread has not ended ([live-ref] 3).
        Some(unsafe { GreenRef::new(node.as_ref().value) })
    }
}
