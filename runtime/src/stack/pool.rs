//! The stacks of one OS thread: handed out warm first, trimmed when there is time.

use std::cell::RefCell;
use std::io;
use std::ptr::NonNull;

use super::slab::{self, Slab};
use super::{Stack, round_size};

/// Slabs double up to this many bytes of address space. A million stacks take some 250 mappings.
const SLAB_BYTES: usize = 1 << 30;
/// The first slab of a size.
const FIRST_COUNT: usize = 64;
/// So many free stacks of a size keep all their pages.
const WARM: usize = 128;
/// The most that one call of `trim` gives back, so that it takes well under a millisecond.
const TRIM_BATCH: usize = 64;
/// What a trimmed stack keeps, at its base: the control block and the first frames live there.
const KEPT_BYTES: usize = 8 * 1024;

/// Every stack of one scheduler.
#[derive(Debug)]
pub(crate) struct StackPool {
    /// One entry for each size in use: a handful at most, the default first.
    sizes: RefCell<Vec<Size>>,
}

#[derive(Debug)]
struct Size {
    size: usize,
    slabs: Vec<Slab>,
    free: Vec<Stack>,
    /// The free stacks below this place were trimmed already.
    trimmed: usize,
}

impl StackPool {
    pub(crate) const fn new() -> Self {
        Self {
            sizes: RefCell::new(Vec::new()),
        }
    }

    /// A stack of at least `wish` usable bytes.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, or what the system says.
    #[inline]
    pub(crate) fn take(&self, wish: usize) -> io::Result<Stack> {
        // Nearly all are of the size that came first, and warm.
        if let Some(first) = self.sizes.borrow_mut().first_mut()
            && first.size == wish
            && let Some(stack) = first.reuse()
        {
            return Ok(stack);
        }
        self.take_slowly(wish)
    }

    #[cold]
    #[inline(never)]
    fn take_slowly(&self, wish: usize) -> io::Result<Stack> {
        let size = round_size(wish)?;
        let mut sizes = self.sizes.borrow_mut();
        let at = sizes
            .iter()
            .position(|entry| entry.size == size)
            .unwrap_or_else(|| {
                sizes.push(Size {
                    size,
                    slabs: Vec::new(),
                    free: Vec::new(),
                    trimmed: 0,
                });
                sizes.len() - 1
            });
        sizes[at].take()
    }

    /// Takes a stack back. The next one to ask gets it.
    #[inline]
    pub(crate) fn give_back(&self, stack: Stack) {
        let mut sizes = self.sizes.borrow_mut();
        let entry = sizes.iter_mut().find(|entry| entry.size == stack.size);
        entry
            .expect("a stack comes from this pool")
            .free
            .push(stack);
    }

    /// Gives the memory of some long unused stacks back to the system, not their address space.
    pub(crate) fn trim(&self) {
        for entry in self.sizes.borrow_mut().iter_mut() {
            entry.trim();
        }
    }

    /// Unmaps everything.
    ///
    /// # Safety
    ///
    /// No stack of this pool is in use, nor any pointer into one.
    pub(crate) unsafe fn unmap_all(&self) {
        for entry in self.sizes.take() {
            for slab in entry.slabs {
                // SAFETY: nothing uses its stacks (caller).
                unsafe { slab.unmap() };
            }
        }
    }
}

impl Size {
    #[inline]
    fn reuse(&mut self) -> Option<Stack> {
        let stack = self.free.pop()?;
        self.trimmed = self.trimmed.min(self.free.len());
        Some(stack)
    }

    fn take(&mut self) -> io::Result<Stack> {
        if let Some(stack) = self.reuse() {
            return Ok(stack);
        }
        if let Some(carved) = self.slabs.last_mut().and_then(Slab::carve) {
            return carved.map(|(limit, index)| self.stack(limit, index));
        }
        let most = (SLAB_BYTES / self.size).max(1);
        let doubled = FIRST_COUNT << self.slabs.len().min(16);
        let slab = Slab::map(self.size, doubled.min(most)).or_else(|_| Slab::map(self.size, 1))?;
        self.slabs.push(slab);
        let carved = self
            .slabs
            .last_mut()
            .and_then(Slab::carve)
            .expect("the slab is new");
        carved.map(|(limit, index)| self.stack(limit, index))
    }

    fn stack(&self, limit: *mut u8, index: usize) -> Stack {
        Stack {
            limit: NonNull::new(limit).expect("a mapping does not begin at zero"),
            size: self.size,
            index,
        }
    }

    fn trim(&mut self) {
        let cold = self.free.len().saturating_sub(WARM);
        let end = cold.min(self.trimmed + TRIM_BATCH);
        for stack in &self.free[self.trimmed.min(end)..end] {
            let unused = stack.size - KEPT_BYTES;
            // SAFETY: the stack is free, so nobody reads what it held; the range is part of it.
            unsafe { slab::discard(stack.limit(), unused) };
        }
        self.trimmed = self.trimmed.max(end);
    }
}
