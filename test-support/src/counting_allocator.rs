//! `CountingAllocator`: how much each OS thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The allocator of the system, which counts for each OS thread. A test program makes it its
/// `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

thread_local! {
    static COUNTS: Cell<(usize, isize)> = const { Cell::new((0, 0)) };
}

impl CountingAllocator {
    /// Returns the number of allocations of this OS thread so far, and of the bytes that it has
    /// allocated and not freed.
    #[must_use]
    pub fn counts() -> (usize, isize) {
        COUNTS.get()
    }
}

fn count(allocations: usize, bytes: isize) {
    let (total, live) = COUNTS.get();
    COUNTS.set((total + allocations, live + bytes));
}

#[expect(
    unsafe_code,
    reason = "an allocator that counts is the only way to see allocations"
)]
// SAFETY: all calls are passed on to the allocator of the system.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: the contract is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}
