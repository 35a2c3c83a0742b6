//! `RunQueue`: the ready green threads, in FIFO order.
//!
//! The queue is a ring buffer of references, not a linked list through the control blocks. With
//! many ready green threads, none of their memory is in the cache when it is needed. A ring buffer
//! allows prefetching the next entries: their control blocks and stacks are loaded while others
//! still run. In a linked list the next address is known only after the cache miss on the entry
//! before it. (Measured with 50,000 green threads that run in turn.)

use std::cell::Cell;
use std::ptr::NonNull;

use crate::green::{GreenRef, GreenThread};

/// A slot of the ring.
type RingSlot = Cell<*const GreenThread>;

/// References to green threads that are `Ready`.
///
/// Invariant `[ring]`:
/// - `slots` is an allocation of `mask + 1` slots, a power of two, that this queue owns;
/// - `head` wraps around, and an index is masked before it is used;
/// - the `len` slots from `head` on hold what was pushed.
#[derive(Debug)]
pub(crate) struct RunQueue {
    slots: Cell<NonNull<RingSlot>>,
    mask: Cell<usize>,
    head: Cell<usize>,
    len: Cell<usize>,
}

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
            slots: Cell::new(allocate(FIRST)),
            mask: Cell::new(FIRST - 1),
            head: Cell::new(0),
            len: Cell::new(0),
        }
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// Returns the number of turns: how often a green thread was taken from the head, or could have
    /// been if the queue had not been empty. The turn of one that [`Self::push_front`] put there
    /// does not count.
    #[inline(always)]
    pub(super) fn turns(&self) -> usize {
        self.head.get()
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> &RingSlot {
        // SAFETY:
        // - a masked index lies inside the allocation ([ring]);
        // - no caller, and all of them are in this file, uses the reference after a call that could
        //   replace the allocation.
        unsafe { self.slots.get().add(index & self.mask.get()).as_ref() }
    }

    #[inline(always)]
    pub(crate) fn push(&self, green: GreenRef) {
        let len = self.len.get();
        if len > self.mask.get() {
            self.grow();
        }
        self.slot(self.head.get().wrapping_add(len))
            .set(green.as_ptr());
        self.len.set(len + 1);
    }

    /// Puts `green` at the front. A killer uses it, to continue as soon as its victim has stopped.
    pub(crate) fn push_front(&self, green: GreenRef) {
        if self.len() > self.mask.get() {
            self.grow();
        }
        let head = self.head.get().wrapping_sub(1);
        self.slot(head).set(green.as_ptr());
        self.head.set(head);
        self.len.set(self.len() + 1);
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
        self.slot(head.wrapping_add(len)).set(green.as_ptr());
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
        let green = self.slot(head).get();
        self.head.set(head.wrapping_add(1));
        if len > PREFETCH_MIN_LEN {
            GreenThread::prefetch(self.slot(head.wrapping_add(PREFETCH_DISTANCE)).get());
            GreenThread::prefetch_stack(self.slot(head.wrapping_add(PREFETCH_DISTANCE / 2)).get());
        }
        // SAFETY:
        // - the slot at the head holds what `push` has stored ([ring]), so it is not null;
        // - that green thread has been ready since then, so it is live ([live-ref] 1).
        unsafe { GreenRef::new(NonNull::new_unchecked(green.cast_mut())) }
    }

    /// Returns the green thread that `pop` would take.
    pub(super) fn first(&self) -> Option<GreenRef> {
        let head = self.slot(self.head.get()).get();
        // SAFETY: as in `take_head`, because the queue is not empty.
        (self.len() > 0).then(|| unsafe { GreenRef::new(NonNull::new_unchecked(head.cast_mut())) })
    }

    /// Removes a green thread, which is to run at once instead of in its turn.
    pub(crate) fn remove(&self, green: GreenRef) {
        let (head, len) = (self.head.get(), self.len());
        let is_it = |n: &usize| self.slot(head.wrapping_add(*n)).get() == green.as_ptr();
        // Searched for from the back, because it was usually spawned just now.
        let Some(found) = (0..len).rev().find(is_it) else {
            return;
        };
        for n in found + 1..len {
            let behind = self.slot(head.wrapping_add(n)).get();
            self.slot(head.wrapping_add(n - 1)).set(behind);
        }
        self.len.set(len - 1);
    }

    /// Swaps the `nth` entry with the first. `nth` is below the length.
    pub(super) fn swap_with_front(&self, nth: usize) {
        debug_assert!(nth < self.len());
        let head = self.head.get();
        self.slot(head).swap(self.slot(head.wrapping_add(nth)));
    }

    #[cold]
    #[inline(never)]
    fn grow(&self) {
        let (len, capacity) = (self.len(), self.mask.get() + 1);
        let new = allocate(capacity * 2);
        for n in 0..len {
            let index = self.head.get().wrapping_add(n);
            let green = self.slot(index).get();
            // SAFETY: an index that is masked for twice the capacity lies inside the new
            // allocation.
            unsafe { new.add(index & (capacity * 2 - 1)).as_ref() }.set(green);
        }
        // The head counts turns, so it cannot change. That is why each entry was copied to the slot
        // where the same index finds it in the new allocation.
        let old = self.slots.replace(new);
        self.mask.set(capacity * 2 - 1);
        // SAFETY: it is the queue's own allocation of that many slots ([ring]), now unused.
        unsafe { free(old, capacity) };
    }
}

impl Drop for RunQueue {
    fn drop(&mut self) {
        // SAFETY: it is the queue's own allocation ([ring]), which is not used after this.
        unsafe { free(self.slots.get(), self.mask.get() + 1) };
    }
}

fn allocate(capacity: usize) -> NonNull<RingSlot> {
    let slots = vec![RingSlot::new(std::ptr::null()); capacity].into_boxed_slice();
    NonNull::from(Box::leak(slots)).cast()
}

/// # Safety
///
/// `slots` came from `allocate(capacity)`, and is not used after this call.
unsafe fn free(slots: NonNull<RingSlot>, capacity: usize) {
    let slice = NonNull::slice_from_raw_parts(slots, capacity);
    // SAFETY: `allocate` has leaked a box of this length (caller).
    drop(unsafe { Box::from_raw(slice.as_ptr()) });
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
            match (state >> 20) % 10 {
                0..=3 if absent => {
                    queue.push(green(n));
                    model.push_back(n);
                }
                4 if absent => {
                    queue.push_front(green(n));
                    model.push_front(n);
                }
                5 => {
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
            assert_eq!(queue.len(), model.len());
        }
    }
}
