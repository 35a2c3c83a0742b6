//! Stacks: address space for many green threads. Only the pages that they touch use memory.
//!
//! ```text
//!   slab  +-------+---------------+-------+---------------+---
//!         | guard |  stack 0      | guard |  stack 1      | ...
//!         +-------+---------------+-------+---------------+---
//!                 ^ limit     base ^
//! ```
//!
//! A stack grows down from its base toward its limit. Code that runs past the limit faults in the
//! guard. The distance between two stacks is an odd number of pages; where that needs an additional
//! page, it is the page above each base, which is not used.
//!
//! Slabs are mapped without reserving memory and without huge pages, and stacks are carved from
//! them one at a time. A stack is never returned to its slab: its control block keeps it for the
//! next green thread (`green::table`).

mod guard;
mod request;
mod slab;

use std::io;
use std::ptr::{self, NonNull};
use std::sync::LazyLock;

use rustix::mm::MapFlags;

pub(crate) use guard::GUARD_SIZE;
pub(crate) use request::StackRequest;
pub(crate) use slab::Slabs;

/// How stacks are mapped: without reserving memory. FreeBSD never reserves any, and has no flag for it.
#[cfg(not(any(target_os = "freebsd", target_os = "dragonfly")))]
const PRIVATE: MapFlags = MapFlags::PRIVATE.union(MapFlags::NORESERVE);
#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
const PRIVATE: MapFlags = MapFlags::PRIVATE;

/// The default size of a stack, in bytes.
pub(crate) const DEFAULT_SIZE: usize = 256 * 1024;

/// The smallest size of a stack, in bytes. A panic that prints a backtrace needs 21 KiB.
pub(crate) const MIN_SIZE: usize = 32 * 1024;

/// The number of different offsets from a page boundary at which stacks start ("colors").
///
/// Without different offsets, the first cache lines of all stacks fall into the same few sets of
/// the cache. If 50,000 green threads run in turn, a switch then takes five times as long.
const COLORS: usize = 32;
/// The distance between two colors, in bytes.
const COLOR_STEP: usize = 64;

/// The number of bytes that a trimmed stack keeps at least. They are at its base, where the control
/// block and the first frames lie.
const KEPT_BYTES: usize = 8 * 1024;

/// A stack: the exclusive right to use the memory `limit..base`.
#[derive(Debug)]
pub(crate) struct Stack {
    limit: NonNull<u8>,
    size: usize,
    /// The number of the stack in its slab. It determines the color.
    index: usize,
}

impl Stack {
    /// Returns the lowest usable address. The guard lies below it.
    pub(crate) fn limit(&self) -> *mut u8 {
        self.limit.as_ptr()
    }

    /// Returns the usable size, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the end of the memory to use: one past the highest address, with the color
    /// subtracted.
    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        self.limit()
            .wrapping_add(self.size - (self.index % COLORS) * COLOR_STEP)
    }

    /// Returns all memory except that near the base to the system, and keeps the address space. At
    /// least the memory from `used` up is kept.
    ///
    /// # Safety
    ///
    /// The contents of the stack below `used` are not read again, except for the [`KEPT_BYTES`] at its
    /// high end.
    pub(crate) unsafe fn trim(&self, used: *mut u8) {
        let used = self.limit().wrapping_add(self.size).addr() - used.addr();
        let kept = KEPT_BYTES
            .max(page_size())
            .max(used.next_multiple_of(page_size()));
        // SAFETY: the range is part of this stack, it consists of whole pages, and its contents are
        // not read again (caller).
        unsafe { slab::discard(self.limit(), self.size - kept) };
    }

    /// Returns the memory below the frames that are in use to the system. Does nothing if the caller
    /// runs on another stack.
    #[inline(never)]
    pub(crate) fn release_unused(&self) {
        let frame = 0_u8;
        let used = ptr::from_ref(&frame)
            .addr()
            .wrapping_sub(self.limit().addr());
        let Some(unused) = used.checked_sub(CALL_BYTES).filter(|_| used < self.size) else {
            return;
        };
        // SAFETY: the range is part of this stack, and consists of whole pages, as the limit is the
        // start of one. It lies below the frame of this function, and the frames of the call below
        // that have enough room. The stack grows down, so nothing below them is in use.
        unsafe { slab::discard(self.limit(), unused - unused % page_size()) };
    }
}

/// The number of bytes below the frame of [`Stack::release_unused`] that are kept. They are more than
/// the frames of the system call need.
const CALL_BYTES: usize = 1024;

/// Returns the usable size of a stack for a requested size. It is a power of two, in whole pages,
/// so that there are few sizes, and stacks can be reused.
///
/// # Errors
///
/// Returns `OutOfMemory` if the size is too large.
pub(crate) fn round_size(requested: usize) -> io::Result<usize> {
    const LARGEST: usize = 1 << 40;
    if requested > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("a stack of {requested} bytes does not fit into the address space"),
        ));
    }
    Ok(requested.max(MIN_SIZE).max(page_size()).next_power_of_two())
}

/// Returns the size of a page of memory, in bytes. It does not use `rustix`, because the way in
/// which `rustix` finds out the size crashes under valgrind.
fn page_size() -> usize {
    static SIZE: LazyLock<usize> = LazyLock::new(|| {
        // SAFETY: the call has no preconditions, and every Unix system supports this name.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).expect("the system knows the size of its pages")
    });
    *SIZE
}

#[cfg(test)]
mod tests;
