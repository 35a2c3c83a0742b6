//! Slabs: large mappings, carved into stacks of one size.

use std::io;
use std::ptr;

use rustix::mm::{self, MapFlags, ProtFlags};

use super::guard::{self, GUARD_SIZE};

/// A mapping with room for `count` stacks and their guards.
#[derive(Debug)]
pub(super) struct Slab {
    start: *mut u8,
    stride: usize,
    count: usize,
    carved: usize,
}

impl Slab {
    /// Maps room for `count` stacks of `size` usable bytes each.
    ///
    /// # Errors
    ///
    /// The system's, `OutOfMemory` mostly.
    pub(super) fn map(size: usize, count: usize) -> io::Result<Self> {
        let stride = size + GUARD_SIZE;
        let bytes = stride
            .checked_mul(count)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        #[cfg_attr(
            not(any(target_os = "linux", target_os = "android")),
            expect(unused_mut, reason = "MAP_STACK is a Linux flag")
        )]
        let mut flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        flags.insert(MapFlags::STACK);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            mm::mmap_anonymous(
                ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )?
        };
        // One touched page must cost one page, not two megabytes. A kernel without huge pages
        // refuses the advice, and needs none.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            // SAFETY: the mapping just made.
            let advised = unsafe { mm::madvise(start, bytes, mm::Advice::LinuxNoHugepage) };
            advised.or_else(|errno| match errno {
                rustix::io::Errno::INVAL => Ok(()),
                other => Err(other),
            })?;
        }
        Ok(Self {
            start: start.cast(),
            stride,
            count,
            carved: 0,
        })
    }

    /// The limit and the number of a stack that was never used, its guard installed; `None` when
    /// the slab is used up.
    ///
    /// # Errors
    ///
    /// The system's, where no guard can be had. The stack stays uncarved.
    pub(super) fn carve(&mut self) -> Option<io::Result<(*mut u8, usize)>> {
        let index = self.carved;
        if index == self.count {
            return None;
        }
        let start = self.start.wrapping_add(index * self.stride);
        // SAFETY: inside the mapping, page-aligned since the stride is, and not handed out yet.
        let guarded = unsafe { guard::install(start) };
        Some(guarded.map(|()| {
            self.carved += 1;
            (start.wrapping_add(GUARD_SIZE), index)
        }))
    }

    /// Gives the address space back.
    ///
    /// # Safety
    ///
    /// No stack of this slab is in use, nor any pointer into one.
    pub(super) unsafe fn unmap(self) {
        // SAFETY: the mapping of `map`, in nobody's use (caller).
        let unmapped = unsafe { mm::munmap(self.start.cast(), self.stride * self.count) };
        debug_assert!(unmapped.is_ok(), "the slab was mapped by us: {unmapped:?}");
        guard::forget(self.carved);
    }
}

/// Gives memory back to the system and keeps the address space. Where that fails, it stays.
///
/// # Safety
///
/// The range is part of a slab and page-aligned, and nobody will read what it holds.
pub(super) unsafe fn discard(start: *mut u8, size: usize) {
    // Elsewhere DONTNEED is a hint that frees nothing.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const ADVICE: libc::c_int = libc::MADV_DONTNEED;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const ADVICE: libc::c_int = libc::MADV_FREE;
    // SAFETY: a range of our own whose contents are of no use to anybody (caller).
    let advised = unsafe { libc::madvise(start.cast(), size, ADVICE) };
    debug_assert_eq!(
        advised,
        0,
        "the range is mapped: {}",
        io::Error::last_os_error()
    );
}
