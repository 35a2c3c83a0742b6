//! Slabs: large mappings, carved into stacks of one size.

use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{self, MapFlags, ProtFlags};

use super::guard::{self, GUARD_SIZE};
use super::{Stack, page_size};

/// Slabs double up to this many bytes of address space. A million stacks take some 250 mappings.
const SLAB_BYTES: usize = 1 << 30;
/// The first slab of a size.
const FIRST_COUNT: usize = 64;

/// All slabs for stacks of one size.
#[derive(Debug)]
pub(crate) struct Slabs {
    size: usize,
    slabs: Vec<Slab>,
}

impl Slabs {
    /// For stacks of `size` usable bytes, a size from [`round_size`](super::round_size).
    pub(crate) const fn new(size: usize) -> Self {
        Self {
            size,
            slabs: Vec::new(),
        }
    }

    /// Usable bytes of each stack.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// A stack that was never used.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, or what the system says.
    pub(crate) fn carve(&mut self) -> io::Result<Stack> {
        if let Some(carved) = self.slabs.last_mut().and_then(Slab::carve) {
            return carved.map(|(limit, index)| self.stack(limit, index));
        }
        let max_count = (SLAB_BYTES / self.size).max(1);
        let doubled = FIRST_COUNT << self.slabs.len().min(16);
        let slab =
            Slab::map(self.size, doubled.min(max_count)).or_else(|_| Slab::map(self.size, 1))?;
        self.slabs.push(slab);
        let carved = self.slabs.last_mut().and_then(Slab::carve);
        let (limit, index) = carved.expect("the slab is new")?;
        Ok(self.stack(limit, index))
    }

    fn stack(&self, limit: *mut u8, index: usize) -> Stack {
        Stack {
            limit: NonNull::new(limit).expect("a mapping does not begin at zero"),
            size: self.size,
            index,
        }
    }

    /// Gives all address space back.
    ///
    /// # Safety
    ///
    /// No stack of these slabs is in use, nor any pointer into one.
    pub(crate) unsafe fn unmap(self) {
        for slab in self.slabs {
            // SAFETY: nothing uses its stacks (caller).
            unsafe { slab.unmap() };
        }
    }
}

/// A mapping with room for `count` stacks and their guards.
#[derive(Debug)]
struct Slab {
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
    fn map(size: usize, count: usize) -> io::Result<Self> {
        // An odd number of pages: else all of them would lie in the few sets of the processor's table
        // of pages that an even number hits. (A yield among ten: by 6 %.)
        let pages = (size + GUARD_SIZE) / page_size();
        let stride = (pages | 1) * page_size();
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
    fn carve(&mut self) -> Option<io::Result<(*mut u8, usize)>> {
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
    unsafe fn unmap(self) {
        // SAFETY: the mapping of `map`, in nobody's use (caller).
        let unmapped = unsafe { mm::munmap(self.start.cast(), self.stride * self.count) };
        debug_assert!(unmapped.is_ok(), "the slab was mapped by us: {unmapped:?}");
        guard::release_guards(self.carved);
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
