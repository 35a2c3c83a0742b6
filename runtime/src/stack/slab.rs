//! Slabs: large mappings that are carved into stacks of one size.

use std::io;
use std::ptr::{self, NonNull};

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::mm::MapFlags;
use rustix::mm::{self, ProtFlags};

use super::guard::{self, GUARD_SIZE};
use super::{PRIVATE, Stack, page_size};

/// The largest size of a slab, in bytes of address space. Slabs double in size up to this. A
/// million stacks take about 250 mappings.
const SLAB_BYTES: usize = 1 << 30;
/// The number of stacks in the first slab of a size.
const FIRST_COUNT: usize = 64;

/// The address space that must remain free when stacks are mapped one by one, in bytes. Without it,
/// the last stacks would leave no room for the heap to grow, and a failed allocation aborts the
/// process.
const HEAP_RESERVE: usize = 2 << 20;

/// All slabs for stacks of one size.
#[derive(Debug)]
pub(crate) struct Slabs {
    size: usize,
    slabs: Vec<Slab>,
}

impl Slabs {
    /// Creates an empty set of slabs for stacks of `size` usable bytes. The size must come from
    /// [`round_size`](super::round_size).
    pub(crate) const fn new(size: usize) -> Self {
        Self {
            size,
            slabs: Vec::new(),
        }
    }

    /// Returns the usable size of each stack, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns a stack that was never used.
    ///
    /// # Errors
    ///
    /// Returns `OutOfMemory`, or another error of the system.
    pub(crate) fn carve(&mut self) -> io::Result<Stack> {
        if let Some(carved) = self.slabs.last_mut().and_then(Slab::carve) {
            return carved.map(|(limit, index)| self.stack(limit, index));
        }
        let max_count = (SLAB_BYTES / self.size).max(1);
        let doubled = FIRST_COUNT << self.slabs.len().min(16);
        let slab =
            Slab::map(self.size, doubled.min(max_count)).or_else(|_| Slab::map_last(self.size))?;
        self.slabs.push(slab);
        let carved = self.slabs.last_mut().and_then(Slab::carve);
        let (limit, index) = carved.expect("a new slab has room for a stack")?;
        Ok(self.stack(limit, index))
    }

    fn stack(&self, limit: *mut u8, index: usize) -> Stack {
        Stack {
            limit: NonNull::new(limit).expect("a mapping does not start at address zero"),
            size: self.size,
            index,
        }
    }

    /// Unmaps all slabs.
    ///
    /// # Safety
    ///
    /// No stack of these slabs is in use, and no pointer into one is used again.
    pub(crate) unsafe fn unmap(self) {
        for slab in self.slabs {
            // SAFETY: nothing uses the stacks of this slab (caller).
            unsafe { slab.unmap() };
        }
    }
}

/// A mapping with space for `count` stacks and their guards.
#[derive(Debug)]
struct Slab {
    start: *mut u8,
    /// The distance between two stacks, in bytes.
    stride: usize,
    count: usize,
    /// The number of stacks carved so far.
    carved: usize,
}

impl Slab {
    /// Maps space for `count` stacks of `size` usable bytes each.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, usually `OutOfMemory`.
    fn map(size: usize, count: usize) -> io::Result<Self> {
        // The stride is an odd number of pages. With an even number, all stacks would fall into a
        // few sets of the TLB. The odd number makes a yield among ten green threads 6% faster.
        let pages = (size + GUARD_SIZE) / page_size();
        let stride = (pages | 1) * page_size();
        let bytes = stride
            .checked_mul(count)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        #[cfg_attr(
            not(any(target_os = "linux", target_os = "android")),
            expect(unused_mut, reason = "MAP_STACK is a Linux flag")
        )]
        let mut flags = PRIVATE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        flags.insert(MapFlags::STACK);
        // SAFETY: a new mapping, at an address that the kernel selects.
        let start = unsafe {
            mm::mmap_anonymous(
                ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )?
        };
        // A touched page should use the memory of one page, not of a huge page of two megabytes. A
        // kernel without huge pages refuses the advice, and does not need it. Where it fails
        // otherwise, the stacks work too, and only use more memory.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: the mapping was just created.
        unsafe { mm::madvise(start, bytes, mm::Advice::LinuxNoHugepage) }.ok();
        Ok(Self {
            start: start.cast(),
            stride,
            count,
            carved: 0,
        })
    }

    /// Maps space for one stack, unless that would leave too little address space for the heap.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, usually `OutOfMemory`.
    fn map_last(size: usize) -> io::Result<Self> {
        let slab = Self::map(size, 1)?;
        match Self::map(HEAP_RESERVE, 1) {
            Ok(reserve) => {
                // SAFETY: none of its stacks was carved.
                unsafe { reserve.unmap() };
                Ok(slab)
            }
            Err(error) => {
                // SAFETY: as above.
                unsafe { slab.unmap() };
                Err(error)
            }
        }
    }

    /// Carves a stack that was never used, and installs its guard. Returns the limit and the number
    /// of the stack, or `None` if the slab is used up.
    ///
    /// # Errors
    ///
    /// Returns the error of the system if the guard cannot be installed. The stack is not carved
    /// then.
    fn carve(&mut self) -> Option<io::Result<(*mut u8, usize)>> {
        let index = self.carved;
        if index == self.count {
            return None;
        }
        let start = self.start.wrapping_add(index * self.stride);
        // SAFETY: inside the mapping, page-aligned because the stride is, and not in use yet.
        let guarded = unsafe { guard::install(start) };
        Some(guarded.map(|()| {
            self.carved += 1;
            (start.wrapping_add(GUARD_SIZE), index)
        }))
    }

    /// Unmaps the slab.
    ///
    /// # Safety
    ///
    /// No stack of this slab is in use, and no pointer into one is used again.
    unsafe fn unmap(self) {
        // SAFETY: the mapping was created by `map`, and nothing uses it (caller).
        // If that fails, the address space stays in use.
        unsafe { mm::munmap(self.start.cast(), self.stride * self.count) }.ok();
        guard::release_guards(self.carved);
    }
}

/// Returns memory to the system and keeps the address space. If that fails, the memory is kept too.
///
/// # Safety
///
/// The range is part of a slab and page-aligned, and its contents are not read again.
pub(super) unsafe fn discard(start: *mut u8, size: usize) {
    // Other systems treat `MADV_DONTNEED` as a hint that frees nothing.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const ADVICE: libc::c_int = libc::MADV_DONTNEED;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const ADVICE: libc::c_int = libc::MADV_FREE;
    // The result does not matter, and a panic would unwind a wait that nothing may unwind.
    // SAFETY: a range of a slab, with contents that are not read again (caller).
    let _advised = unsafe { libc::madvise(start.cast(), size, ADVICE) };
}
