//! Stacks: address space for many green threads, of which only touched pages cost memory.
//!
//! ```text
//!   slab  +-------+---------------+-------+---------------+---
//!         | guard |  stack 0      | guard |  stack 1      | ...
//!         +-------+---------------+-------+---------------+---
//!                 ^ limit     base ^
//! ```
//!
//! A stack grows down from its base towards its limit; who runs past the limit faults in the guard. Where
//! it takes one to make their distance an odd number of pages, a page above each base is not used.
//! Slabs are mapped without reserving memory and without huge pages, and are carved one stack at a
//! time. A stack is never uncarved: who has one keeps it for the next green thread
//! (`green::table`).

mod guard;
mod slab;

use std::io;
use std::ptr::NonNull;

pub(crate) use guard::GUARD_SIZE;
pub(crate) use slab::Slabs;

/// What a green thread gets unless its builder says otherwise.
pub(crate) const DEFAULT_SIZE: usize = 256 * 1024;

/// A panic that prints a backtrace needs 21 KiB.
pub(crate) const MIN_SIZE: usize = 32 * 1024;

/// Stacks start at different offsets from a page boundary. Without that, the first lines of all of
/// them fall into the same few sets of the cache: with 50 000 green threads in turn a switch then
/// takes five times as long.
const COLOURS: usize = 32;
const COLOUR_STEP: usize = 64;

/// What a trimmed stack keeps at least, at its base: the control block and the first frames live there.
const KEPT_BYTES: usize = 8 * 1024;

/// One stack: the right to use `limit..base`.
#[derive(Debug)]
pub(crate) struct Stack {
    limit: NonNull<u8>,
    size: usize,
    /// Counts the stacks of a slab; decides the colour.
    index: usize,
}

impl Stack {
    /// The lowest usable address. Below it lies the guard.
    pub(crate) fn limit(&self) -> *mut u8 {
        self.limit.as_ptr()
    }

    /// Usable bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// One past the highest address that is to be used: the colour is taken off already.
    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        self.limit()
            .wrapping_add(self.size - (self.index % COLOURS) * COLOUR_STEP)
    }

    /// Gives memory back to the system, all but that near the base, and keeps the address space.
    ///
    /// # Safety
    ///
    /// Nobody will read what is further than [`KEPT_BYTES`] from the end.
    pub(crate) unsafe fn trim(&self) {
        let kept = KEPT_BYTES.max(page_size());
        // SAFETY: the range is part of this stack, of whole pages, and nobody reads it (caller).
        unsafe { slab::discard(self.limit(), self.size - kept) };
    }
}

/// The usable size for a requested: powers of two of whole pages, so that stacks of few sizes can be reused.
///
/// # Errors
///
/// `OutOfMemory` where no such size exists.
pub(crate) fn round_size(requested: usize) -> io::Result<usize> {
    const LARGEST: usize = 1 << 40;
    if requested > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("a stack of {requested} bytes is more than the address space has to give"),
        ));
    }
    Ok(requested.max(MIN_SIZE).max(page_size()).next_power_of_two())
}

/// Bytes of a page of memory. Not as `rustix` finds it out, which crashes under valgrind.
fn page_size() -> usize {
    // SAFETY: a question without arguments, which every unix answers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("a page has a size")
}

#[cfg(test)]
mod tests;
