//! `QueueIndex`: finds entries in the middle of a long run queue.
//!
//! A kill removes its victim from the run queue. A search for each victim would make the kill of
//! many ready green threads quadratic. So the first search that takes long records the position of
//! every entry. Later ones only add the entries that were pushed meanwhile.

use std::collections::HashMap;

use crate::green::GreenThread;

/// The positions of entries, counted like the head of the queue. An entry may have moved or left
/// since it was recorded, so the caller checks what it finds.
#[derive(Debug, Default)]
pub(super) struct QueueIndex {
    positions: HashMap<*const GreenThread, usize>,
    /// The entries before this position are recorded. `None` if none are.
    end: Option<usize>,
}

impl QueueIndex {
    /// Returns the position at which `green` was recorded last.
    pub(super) fn get(&self, green: *const GreenThread) -> Option<usize> {
        self.positions.get(&green).copied()
    }

    /// Records the entries of the `len` positions from `head` on, except those that are recorded
    /// already.
    pub(super) fn record(
        &mut self,
        head: usize,
        len: usize,
        entry: impl Fn(usize) -> *const GreenThread,
    ) {
        let recorded = self.end.map_or(0, |end| end.wrapping_sub(head));
        // If the end lies before the head, all recorded entries have left.
        let first = if recorded <= len { recorded } else { 0 };
        for n in first..len {
            let position = head.wrapping_add(n);
            self.positions.insert(entry(position), position);
        }
        self.end = Some(head.wrapping_add(len));
    }

    /// Forgets the entries from `end` on, because others may be pushed at their positions.
    pub(super) fn truncate(&mut self, end: usize) {
        if self
            .end
            .is_some_and(|old| old.wrapping_sub(end).cast_signed() > 0)
        {
            self.end = Some(end);
        }
    }
}
