//! Who runs next: first in, first out.
//!
//! A ring of references, not a chain through the control blocks. With many green threads in turn
//! none of their memory is in the cache when it is needed; a ring can be looked into ahead, so that
//! the control block and the stack of those who come next are on their way while others still run.
//! A chain would tell whom to load only after the miss before it. (Measured: 50 000 in turn.)

use std::cell::Cell;
use std::ptr::NonNull;

use crate::green::{GreenRef, GreenThread};

/// A place of the ring.
type RingSlot = Cell<*const GreenThread>;

/// References to green threads that are `Ready`.
///
/// Invariant `[ring]`: `slots` is an allocation of `mask + 1` slots, a power of two, that this
/// queue owns. `head` wraps around, and an index is masked before it is used. The `len` slots from
/// `head` on hold what was pushed.
#[derive(Debug)]
pub(crate) struct RunQueue {
    slots: Cell<NonNull<RingSlot>>,
    mask: Cell<usize>,
    head: Cell<usize>,
    len: Cell<usize>,
}

/// So far ahead the control block is fetched; half as far, the stack that it names.
const PREFETCH_DISTANCE: usize = 16;

/// Below this length everything is in the cache anyway.
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

    /// Counts the turns: how often somebody was taken from the head, or might have been. That of who
    /// was put there out of turn does not count.
    #[inline(always)]
    pub(super) fn turns(&self) -> usize {
        self.head.get()
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> &RingSlot {
        // SAFETY: a masked index lies inside ([ring]). The reference is used up before the next
        // call that could exchange the allocation: all callers are in this file.
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

    /// Jumps the queue: for a killer, which goes on as soon as its victim has stopped.
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

    /// A pop and a push in one: `green` goes behind all others, the first comes out. `None`: there is
    /// nobody else, and a turn has passed.
    #[inline(always)]
    pub(crate) fn rotate(&self, green: GreenRef) -> Option<GreenRef> {
        let (head, len) = (self.head.get(), self.len.get());
        if len == 0 {
            self.skip_turn();
            return None;
        }
        let first = self.take_head(len);
        // If the ring is full, this is the place that was the first one's.
        self.slot(head.wrapping_add(len)).set(green.as_ptr());
        Some(first)
    }

    /// A turn that nobody takes. Out of line, so that the way of a yield to somebody is straight.
    #[cold]
    #[inline(never)]
    fn skip_turn(&self) {
        self.head.set(self.head.get().wrapping_add(1));
    }

    /// Who is at the head, of `len` above zero. The head moves on; the length is the caller's.
    #[inline(always)]
    fn take_head(&self, len: usize) -> GreenRef {
        let head = self.head.get();
        let green = self.slot(head).get();
        self.head.set(head.wrapping_add(1));
        if len > PREFETCH_MIN_LEN {
            GreenThread::prefetch(self.slot(head.wrapping_add(PREFETCH_DISTANCE)).get());
            GreenThread::prefetch_stack(self.slot(head.wrapping_add(PREFETCH_DISTANCE / 2)).get());
        }
        // SAFETY: at the head lies what `push` has put there ([ring]), and it is ready since, so it is
        // not null, and it lives ([live-ref] 1).
        unsafe { GreenRef::new(NonNull::new_unchecked(green.cast_mut())) }
    }

    /// The one that `pop` would take.
    pub(super) fn first(&self) -> Option<GreenRef> {
        let head = self.slot(self.head.get()).get();
        // SAFETY: as in `take_head`, where there is one.
        (self.len() > 0).then(|| unsafe { GreenRef::new(NonNull::new_unchecked(head.cast_mut())) })
    }

    /// Takes out one that is to run right now instead of in its turn.
    pub(crate) fn remove(&self, green: GreenRef) {
        let (head, len) = (self.head.get(), self.len());
        let is_it = |n: &usize| self.slot(head.wrapping_add(*n)).get() == green.as_ptr();
        // Mostly it was spawned just now.
        let Some(found) = (0..len).rev().find(is_it) else {
            return;
        };
        // Those behind it move up by one.
        for n in found + 1..len {
            let behind = self.slot(head.wrapping_add(n)).get();
            self.slot(head.wrapping_add(n - 1)).set(behind);
        }
        self.len.set(len - 1);
    }

    /// Has the `nth` of those who wait change slots with the first. There are more than `nth`.
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
            // SAFETY: an index that is masked for twice the capacity lies inside.
            unsafe { new.add(index & (capacity * 2 - 1)).as_ref() }.set(green);
        }
        // The head counts turns, so it stays, and they go where it will look for them.
        let old = self.slots.replace(new);
        self.mask.set(capacity * 2 - 1);
        // SAFETY: the queue's own allocation of that many slots ([ring]), now unused.
        unsafe { free(old, capacity) };
    }
}

impl Drop for RunQueue {
    fn drop(&mut self) {
        // SAFETY: the queue's own allocation ([ring]), used no more.
        unsafe { free(self.slots.get(), self.mask.get() + 1) };
    }
}

fn allocate(capacity: usize) -> NonNull<RingSlot> {
    let slots = vec![RingSlot::new(std::ptr::null()); capacity].into_boxed_slice();
    NonNull::from(Box::leak(slots)).cast()
}

/// # Safety
///
/// `slots` came from `allocate(capacity)` and is used no more.
unsafe fn free(slots: NonNull<RingSlot>, capacity: usize) {
    let slice = NonNull::slice_from_raw_parts(slots, capacity);
    // SAFETY: what `allocate` has leaked (caller).
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
    fn it_agrees_with_a_deque_across_growth_and_wrap_around() {
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
                // Full for a while, then empty: both ends wrap around.
                _ if step % 4000 > 2000 => {
                    assert_eq!(queue.pop(), model.pop_front().map(green));
                }
                _ => {}
            }
            assert_eq!(queue.len(), model.len());
        }
    }
}
