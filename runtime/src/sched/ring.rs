//! `Ring`: a growing circular array of references to green threads, the memory of the run queue.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::green::GreenThread;
use crate::unhooked::unhooked;

type Slot = Cell<*const GreenThread>;

/// A circular array. An index may be any number, and wraps around.
///
/// Invariant `[ring]`:
/// - `slots` is an allocation of `mask + 1` slots, a power of two, that this ring owns;
/// - an index is masked before it is used.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Cell<NonNull<Slot>>,
    mask: Cell<usize>,
}

impl Ring {
    /// Creates a ring of `capacity` empty slots. `capacity` is a power of two.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: Cell::new(allocate(capacity)),
            mask: Cell::new(capacity - 1),
        }
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> &Slot {
        // SAFETY:
        // - a masked index lies inside the allocation ([ring]);
        // - `get` and `set` use the reference only until they return, and `grow`, which replaces
        //   the allocation, does not run meanwhile.
        unsafe { self.slots.get().add(index & self.mask.get()).as_ref() }
    }

    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> *const GreenThread {
        self.slot(index).get()
    }

    #[inline(always)]
    pub(super) fn set(&self, index: usize, entry: *const GreenThread) {
        self.slot(index).set(entry);
    }

    /// Makes room for one entry more than the `len` entries from `head` on.
    #[inline(always)]
    pub(super) fn reserve(&self, head: usize, len: usize) {
        if len > self.mask.get() {
            self.grow(head, len);
        }
    }

    /// Doubles the capacity. Each of the `len` entries from `head` on is found at the same index
    /// afterwards, because the head of the run queue counts turns and cannot change.
    #[cold]
    #[inline(never)]
    fn grow(&self, head: usize, len: usize) {
        // An allocator must not park here, because other green threads would use the ring.
        unhooked(|| self.grow_now(head, len));
    }

    fn grow_now(&self, head: usize, len: usize) {
        let capacity = self.mask.get() + 1;
        let new = allocate(capacity * 2);
        for n in 0..len {
            let index = head.wrapping_add(n);
            // SAFETY: an index that is masked for twice the capacity lies inside the new
            // allocation.
            unsafe { new.add(index & (capacity * 2 - 1)).as_ref() }.set(self.get(index));
        }
        let old = self.slots.replace(new);
        self.mask.set(capacity * 2 - 1);
        // SAFETY: it is the ring's own allocation of that many slots ([ring]), now unused.
        unsafe { free(old, capacity) };
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it is the ring's own allocation ([ring]), which is not used after this.
        unsafe { free(self.slots.get(), self.mask.get() + 1) };
    }
}

fn allocate(capacity: usize) -> NonNull<Slot> {
    let slots = vec![Slot::new(ptr::null()); capacity].into_boxed_slice();
    NonNull::from(Box::leak(slots)).cast()
}

/// # Safety
///
/// `slots` came from `allocate(capacity)`, and is not used after this call.
unsafe fn free(slots: NonNull<Slot>, capacity: usize) {
    let slice = NonNull::slice_from_raw_parts(slots, capacity);
    // SAFETY: `allocate` has leaked a box of this length (caller).
    drop(unsafe { Box::from_raw(slice.as_ptr()) });
}
