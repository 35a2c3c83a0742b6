//! `RunQueue`: the ready green threads, in FIFO order.
//!
//! The queue is a ring buffer of references, not a linked list through the control blocks. With
//! many ready green threads, none of their memory is in the cache when it is needed. A ring buffer
//! allows prefetching the next entries: their control blocks and stacks are loaded while others
//! still run. In a linked list the next address is known only after the cache miss on the entry
//! before it. (Measured with 50,000 green threads that run in turn.)

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

use super::queue_index::QueueIndex;
use super::ring::Ring;
use crate::green::{GreenRef, GreenThread};

/// References to green threads that are `Ready`.
///
/// Invariant `[run-queue]`:
/// - the `len` slots from `head` on hold what was pushed, or null where an entry was removed;
/// - the slot at the head is not null when an entry is taken from it.
#[derive(Debug)]
pub(crate) struct RunQueue {
    ring: Ring,
    /// The index of the first entry. It wraps around.
    head: Cell<usize>,
    len: Cell<usize>,
    /// The number of entries that were removed from the middle, and still have a slot.
    holes: Cell<usize>,
    /// Where entries are, once a search has taken long.
    index: RefCell<Option<QueueIndex>>,
}

/// The number of entries at each end of the queue that are searched before the index is used.
const SEARCH_DISTANCE: usize = 16;

/// The number of entries by which the prefetch runs ahead. The stack, which the control block
/// refers to, is prefetched half as many entries ahead.
const PREFETCH_DISTANCE: usize = 16;

/// The entries of a queue up to this length are not prefetched, because everything is in the cache
/// anyway.
const PREFETCH_MIN_LEN: usize = 256;

impl RunQueue {
    pub(crate) fn new() -> Self {
        const FIRST: usize = 64;
        Self {
            ring: Ring::new(FIRST),
            head: Cell::new(0),
            len: Cell::new(0),
            holes: Cell::new(0),
            index: RefCell::new(None),
        }
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.len.get() - self.holes.get()
    }

    /// Returns the number of turns: how often a green thread was taken from the head, or could have
    /// been if the queue had not been empty. The turn of one that [`Self::push_front`] put there
    /// does not count.
    #[inline(always)]
    pub(super) fn turns(&self) -> usize {
        self.head.get()
    }

    #[inline(always)]
    pub(crate) fn push(&self, green: GreenRef) {
        let len = self.len.get();
        self.ring.reserve(self.head.get(), len);
        let end = self.head.get().wrapping_add(len);
        self.ring.set(end, green.as_ptr());
        self.len.set(len + 1);
    }

    /// Puts `green` at the front. A killer uses it, to continue as soon as its victim has stopped.
    pub(crate) fn push_front(&self, green: GreenRef) {
        let len = self.len.get();
        self.ring.reserve(self.head.get(), len);
        let head = self.head.get().wrapping_sub(1);
        self.ring.set(head, green.as_ptr());
        self.head.set(head);
        self.len.set(len + 1);
    }

    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<GreenRef> {
        let len = self.len.get();
        if len == 0 {
            return None;
        }
        self.len.set(len - 1);
        Some(self.take_head(len))
    }

    /// Pops the first green thread and pushes `green` to the back, in one step. Returns `None` if
    /// the queue is empty; that counts as a turn too.
    #[inline(always)]
    pub(crate) fn rotate(&self, green: GreenRef) -> Option<GreenRef> {
        let (head, len) = (self.head.get(), self.len.get());
        if len == 0 {
            self.skip_turn();
            return None;
        }
        let first = self.take_head(len);
        // If the ring is full, this is the slot that was just taken.
        self.ring.set(head.wrapping_add(len), green.as_ptr());
        Some(first)
    }

    /// Counts a turn in which no other green thread runs. It is out of line, so that a yield to
    /// another green thread is a straight path.
    #[cold]
    #[inline(never)]
    fn skip_turn(&self) {
        self.head.set(self.head.get().wrapping_add(1));
    }

    /// Takes the green thread at the head, and advances the head. `len` is the length before, and
    /// not zero. The caller updates the length.
    #[inline(always)]
    fn take_head(&self, len: usize) -> GreenRef {
        let head = self.head.get();
        let green = self.ring.get(head);
        self.head.set(head.wrapping_add(1));
        if len > PREFETCH_MIN_LEN {
            let ahead = |distance| self.ring.get(head.wrapping_add(distance));
            GreenThread::prefetch(ahead(PREFETCH_DISTANCE));
            GreenThread::prefetch_stack(ahead(PREFETCH_DISTANCE / 2));
        }
        // SAFETY:
        // - the slot at the head holds what `push` has stored ([run-queue]), so it is not null. The
        //   scheduler has skipped the holes before it (`maintenance`);
        // - that green thread has been ready since then, so it is live ([live-ref] 1).
        unsafe { GreenRef::new(NonNull::new_unchecked(green.cast_mut())) }
    }

    /// Returns the green thread that `pop` would take.
    pub(super) fn first(&self) -> Option<GreenRef> {
        let head = self.ring.get(self.head.get());
        // SAFETY: as in `take_head`, because the queue is not empty.
        (self.len.get() > 0)
            .then(|| unsafe { GreenRef::new(NonNull::new_unchecked(head.cast_mut())) })
    }

    /// Removes a green thread, which is to run at once instead of in its turn. In the middle of the
    /// queue, that leaves a hole.
    pub(crate) fn remove(&self, green: GreenRef) {
        let Some(at) = self.position(green) else {
            return;
        };
        let (head, len) = (self.head.get(), self.len.get());
        match at.wrapping_sub(head) {
            0 => {
                self.head.set(head.wrapping_add(1));
                self.len.set(len - 1);
            }
            n => {
                self.ring.set(at, ptr::null());
                self.holes.set(self.holes.get() + 1);
                if n == len - 1 {
                    self.drop_last_holes();
                }
            }
        }
    }

    /// Returns the position of a green thread, if it is in the queue.
    fn position(&self, green: GreenRef) -> Option<usize> {
        let (head, len) = (self.head.get(), self.len.get());
        let at = |n: usize| head.wrapping_add(n);
        let is_at = |at: &usize| self.ring.get(*at) == green.as_ptr().cast_const();
        // It was usually spawned just now, or those before it were killed just now.
        let near = len.min(SEARCH_DISTANCE);
        let ends = (len - near..len).rev().chain(0..near);
        if let Some(found) = ends.map(at).find(is_at) {
            return Some(found);
        }
        let mut index = self.index.borrow_mut();
        let index = index.get_or_insert_default();
        let is_in = |at: &usize| at.wrapping_sub(head) < len && is_at(at);
        index
            .get(green.as_ptr())
            .filter(is_in)
            .or_else(|| {
                index.record(head, len, |at| self.ring.get(at));
                index.get(green.as_ptr()).filter(is_in)
            })
            // A test may have swapped entries.
            .or_else(|| (0..len).map(at).find(is_at))
    }

    /// Takes the holes at the back off the queue.
    fn drop_last_holes(&self) {
        let head = self.head.get();
        let mut len = self.len.get();
        while len > 0 && self.ring.get(head.wrapping_add(len - 1)).is_null() {
            len -= 1;
            self.holes.set(self.holes.get() - 1);
        }
        self.len.set(len);
        if let Some(index) = &mut *self.index.borrow_mut() {
            index.truncate(head.wrapping_add(len));
        }
    }

    /// Whether [`remove`](Self::remove) has left holes. As long as it has, the holes at the head
    /// must be skipped before each turn.
    pub(super) fn has_holes(&self) -> bool {
        self.holes.get() > 0
    }

    /// Skips a hole at the head, which counts as a turn. Returns `false` if there is none.
    pub(super) fn skip_hole(&self) -> bool {
        let is_hole = self.len.get() > 0 && self.ring.get(self.head.get()).is_null();
        if is_hole {
            self.skip_turn();
            self.len.set(self.len.get() - 1);
            self.holes.set(self.holes.get() - 1);
            if !self.has_holes() {
                *self.index.borrow_mut() = None;
            }
        }
        is_hole
    }

    /// Closes the holes.
    pub(super) fn close_holes(&self) {
        if !self.has_holes() {
            return;
        }
        let (head, len) = (self.head.get(), self.len.get());
        let mut kept = 0;
        for n in 0..len {
            let entry = self.ring.get(head.wrapping_add(n));
            if !entry.is_null() {
                self.ring.set(head.wrapping_add(kept), entry);
                kept += 1;
            }
        }
        self.len.set(kept);
        self.holes.set(0);
        *self.index.borrow_mut() = None;
    }

    /// Swaps the `nth` entry with the first. `nth` is below the length, and there are no holes.
    pub(super) fn swap_with_front(&self, nth: usize) {
        debug_assert!(nth < self.len() && !self.has_holes());
        let head = self.head.get();
        let nth = head.wrapping_add(nth);
        let first = self.ring.get(head);
        self.ring.set(head, self.ring.get(nth));
        self.ring.set(nth, first);
    }
}

#[cfg(test)]
mod tests {
    use super::RunQueue;
    use crate::green::{GreenRef, GreenThread, Identity};
    use std::collections::VecDeque;
    use std::panic::Location;
    use std::ptr::NonNull;

    #[test]
    fn the_queue_agrees_with_a_deque_across_growth_and_wrap_around() {
        let blocks: Vec<_> = (0..500)
            .map(|id| {
                let identity = Identity {
                    id,
                    parent: 0,
                    site: Location::caller(),
                };
                Box::new(GreenThread::root(identity, None))
            })
            .collect();
        // SAFETY: the boxed control blocks stay until the end of the test.
        let green = |n: usize| unsafe { GreenRef::new(NonNull::from(&*blocks[n])) };
        let (queue, mut model) = (RunQueue::new(), VecDeque::new());
        let mut state = 1u64;
        for step in 0..20_000usize {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let n = (state >> 33) as usize % 500;
            let absent = !model.contains(&n);
            // As the scheduler does before it takes an entry.
            while queue.skip_hole() {}
            match (state >> 20) % 10 {
                0..=3 if absent => {
                    queue.push(green(n));
                    model.push_back(n);
                }
                4 if absent => {
                    queue.push_front(green(n));
                    model.push_front(n);
                }
                5..=7 => {
                    queue.remove(green(n));
                    model.retain(|other| *other != n);
                }
                8 if absent => {
                    let turned = model.pop_front();
                    if turned.is_some() {
                        model.push_back(n);
                    }
                    assert_eq!(queue.rotate(green(n)), turned.map(green));
                }
                // The queue fills for a while and is emptied then, so that both ends wrap around.
                _ if step % 4000 > 2000 => {
                    assert_eq!(queue.pop(), model.pop_front().map(green));
                }
                _ => {}
            }
            if step % 3000 == 0 {
                queue.close_holes();
            }
            assert_eq!(queue.len(), model.len());
        }
    }

    #[test]
    fn many_entries_are_removed_from_a_long_queue_in_linear_time() {
        const COUNT: usize = 100_000;
        let block = Box::new(GreenThread::root(
            Identity {
                id: 0,
                parent: 0,
                site: Location::caller(),
            },
            None,
        ));
        let blocks = std::iter::repeat_with(|| GreenThread::root(block.identity(), None));
        let blocks: Vec<_> = blocks.take(COUNT).collect();
        // SAFETY: the control blocks stay until the end of the test.
        let green = |n: usize| unsafe { GreenRef::new(NonNull::from(&blocks[n])) };
        // Every order of removal, with other entries before and behind: forward, backward, and
        // with a large step.
        for order in [1, COUNT - 1, 38_183] {
            let queue = RunQueue::new();
            (0..COUNT).for_each(|n| queue.push(green(n)));
            let mut n = 0;
            for _ in 0..COUNT {
                n = (n + order) % COUNT;
                if (COUNT / 4..COUNT * 3 / 4).contains(&n) {
                    queue.remove(green(n));
                }
            }
            assert_eq!(queue.len(), COUNT / 2);
            let left = std::iter::from_fn(|| {
                while queue.skip_hole() {}
                queue.pop()
            });
            let kept = (0..COUNT / 4).chain(COUNT * 3 / 4..COUNT);
            assert!(left.eq(kept.map(green)));
        }
    }
}
