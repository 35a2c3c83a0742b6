//! All green threads that a scheduler has ever made: those that live, and those that rest.
//!
//! A stack that was carved gets a control block, and keeps it for good. A green thread that has ended
//! rests there, until a spawn takes it up again and writes what tells the new one from the old. The
//! last to come to rest is the first to be taken up, since its pages are warm; those that rest for long
//! give their memory back, but for the block.
//!
//! So nobody needs to be entered in a list of the living, nor be taken out of one: who lives is all
//! but those that rest.

use std::cell::RefCell;
use std::io;
use std::mem;

use super::green_ref::GreenRef;
use super::layout::init_on_stack;
use super::state::State;
use crate::stack::{self, Slabs};

/// So many that rest, of a size, keep all their pages.
const WARM: usize = 128;
/// The most that one call of `trim` gives back, so that it takes well under a millisecond.
const TRIM_BATCH: usize = 64;

/// The green threads of one scheduler, the root not counted.
#[derive(Debug)]
pub(crate) struct ThreadTable {
    /// Those with a stack of the default size: nearly all.
    default_class: RefCell<SizeClass>,
    /// An entry for each other size in use: a handful at most.
    other_classes: RefCell<Vec<SizeClass>>,
}

/// Those with a stack of one size.
#[derive(Debug)]
struct SizeClass {
    slabs: Slabs,
    all: Vec<GreenRef>,
    /// Those of `all` that rest, and room for the others.
    free: Vec<GreenRef>,
    /// So many of them, those that rest longest, were trimmed already.
    trimmed: usize,
}

impl ThreadTable {
    pub(crate) const fn new() -> Self {
        Self {
            default_class: RefCell::new(SizeClass::new(stack::DEFAULT_SIZE)),
            other_classes: RefCell::new(Vec::new()),
        }
    }

    /// A control block on top of a stack of at least `requested` usable bytes, for `scheduler`. It lives
    /// from here on, and is to be [renewed](super::GreenThread::reinit).
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, or what the system says, where no stack can be had.
    #[inline(always)]
    pub(crate) fn allocate(&self, requested: usize, scheduler: *const ()) -> io::Result<GreenRef> {
        if requested == stack::DEFAULT_SIZE
            && let Some(green) = self.default_class.borrow_mut().allocate_warm()
        {
            return Ok(green);
        }
        self.allocate_slow(requested, scheduler)
    }

    #[cold]
    #[inline(never)]
    fn allocate_slow(&self, requested: usize, scheduler: *const ()) -> io::Result<GreenRef> {
        let wanted = stack::round_size(requested)?;
        self.with_class(wanted, |class| class.allocate(scheduler))
    }

    /// Takes back a green thread that has ended. It may run still, up to its last switch: the caller
    /// sees to it that nobody takes one before that.
    #[inline(always)]
    pub(crate) fn free(&self, green: GreenRef) {
        debug_assert_eq!(green.state.get(), State::Done);
        let stack = green.stack.as_ref().expect("the root does not end");
        let size = stack.size();
        if size == stack::DEFAULT_SIZE {
            self.default_class.borrow_mut().free.push(green);
        } else {
            self.free_slow(size, green);
        }
    }

    #[cold]
    #[inline(never)]
    fn free_slow(&self, size: usize, green: GreenRef) {
        self.with_class(size, |class| class.free.push(green));
    }

    fn with_class<R>(&self, wanted: usize, f: impl FnOnce(&mut SizeClass) -> R) -> R {
        if wanted == stack::DEFAULT_SIZE {
            return f(&mut self.default_class.borrow_mut());
        }
        let mut other_classes = self.other_classes.borrow_mut();
        let found = other_classes
            .iter()
            .position(|other| other.slabs.size() == wanted);
        let at = found.unwrap_or_else(|| {
            other_classes.push(SizeClass::new(wanted));
            other_classes.len() - 1
        });
        f(&mut other_classes[at])
    }

    /// How many live.
    pub(crate) fn live(&self) -> usize {
        let mut live = self.default_class.borrow().live();
        for other in self.other_classes.borrow().iter() {
            live += other.live();
        }
        live
    }

    /// All that live, oldest first. It looks at all that there ever were at the same time, so it is for
    /// what is rare.
    pub(crate) fn all_live(&self) -> Vec<GreenRef> {
        let mut all = self.default_class.borrow().all.clone();
        for other in self.other_classes.borrow().iter() {
            all.extend(&other.all);
        }
        all.retain(|green| green.state.get() != State::Done);
        all.sort_unstable_by_key(|green| green.id());
        all
    }

    /// Gives the memory of some that rest for long back to the system, not their address space.
    #[inline]
    pub(crate) fn trim(&self) {
        self.default_class.borrow_mut().trim();
        self.other_classes
            .borrow_mut()
            .iter_mut()
            .for_each(SizeClass::trim);
    }

    /// Unmaps everything.
    ///
    /// # Safety
    ///
    /// None lives, and no pointer into a stack or to a control block is left.
    pub(crate) unsafe fn unmap_all(&self) {
        let default_class = self
            .default_class
            .replace(SizeClass::new(stack::DEFAULT_SIZE));
        for size in mem::take(&mut *self.other_classes.borrow_mut())
            .into_iter()
            .chain([default_class])
        {
            // SAFETY: nothing uses its stacks (caller). What a control block had to drop went when
            // its green thread came to rest.
            unsafe { size.slabs.unmap() };
        }
    }
}

impl SizeClass {
    const fn new(size: usize) -> Self {
        Self {
            slabs: Slabs::new(size),
            all: Vec::new(),
            free: Vec::new(),
            trimmed: 0,
        }
    }

    fn live(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// The one that came to rest last, if it was not trimmed.
    #[inline(always)]
    fn allocate_warm(&mut self) -> Option<GreenRef> {
        if self.free.len() <= self.trimmed {
            return None;
        }
        self.free.pop()
    }

    fn allocate(&mut self, scheduler: *const ()) -> io::Result<GreenRef> {
        if let Some(green) = self.free.pop() {
            self.trimmed = self.trimmed.min(self.free.len());
            return Ok(green);
        }
        let stack = self.slabs.carve()?;
        // SAFETY: a new stack, which nobody else knows, and which stays until `unmap_all`.
        let green = unsafe { init_on_stack(scheduler, stack) };
        self.all.push(green);
        // So that coming to rest cannot fail.
        self.free.reserve(self.all.len() - self.free.len());
        Ok(green)
    }

    #[inline]
    fn trim(&mut self) {
        if self.free.len() > WARM + self.trimmed {
            self.trim_some();
        }
    }

    #[cold]
    #[inline(never)]
    fn trim_some(&mut self) {
        let cold = self.free.len() - WARM;
        let end = cold.min(self.trimmed + TRIM_BATCH);
        for green in &self.free[self.trimmed..end] {
            if let Some(stack) = &green.stack {
                // SAFETY: it has ended and rests, so nobody reads what its frames held; the block is
                // at the base, which is kept.
                unsafe { stack.trim() };
            }
        }
        self.trimmed = end;
    }
}

#[cfg(test)]
mod tests {
    use super::{TRIM_BATCH, ThreadTable, WARM};
    use crate::green::{GreenRef, Identity, State};
    use crate::stack::{DEFAULT_SIZE, Stack};
    use std::panic::Location;
    use std::ptr;

    fn begin(table: &ThreadTable, size: usize, id: u64) -> GreenRef {
        let green = table.allocate(size, ptr::null()).unwrap();
        green.reinit(Identity {
            id,
            parent: 0,
            site: Location::caller(),
        });
        green
    }

    fn end(table: &ThreadTable, green: GreenRef) {
        green.state.set(State::Done);
        table.free(green);
    }

    fn limit(green: GreenRef) -> *mut u8 {
        green.stack.as_ref().map(Stack::limit).unwrap()
    }

    #[test]
    fn the_last_to_rest_is_the_next_to_be_taken_up_for_each_size() {
        let table = ThreadTable::new();
        for size in [DEFAULT_SIZE, DEFAULT_SIZE / 2, 2 * DEFAULT_SIZE] {
            let (a, b) = (begin(&table, size, 1), begin(&table, size, 2));
            assert_ne!(a, b);
            end(&table, a);
            end(&table, b);
            assert_eq!(begin(&table, size, 3), b);
            assert_eq!(begin(&table, size, 4), a);
            assert!(a.stack.as_ref().is_some_and(|stack| stack.size() == size));
        }
        assert_eq!(table.live(), 6);
        // SAFETY: none of them is used again.
        unsafe { table.unmap_all() };
    }

    #[test]
    fn who_lives_is_told_oldest_first() {
        let table = ThreadTable::new();
        let [a, b, c] = [7, 5, 6].map(|id| begin(&table, DEFAULT_SIZE, id));
        let d = begin(&table, 2 * DEFAULT_SIZE, 4);
        assert_eq!(table.all_live(), [d, b, c, a]);
        end(&table, b);
        assert_eq!(table.all_live(), [d, c, a]);
        assert_eq!(table.live(), 3);
        let again = begin(&table, DEFAULT_SIZE, 8);
        assert_eq!(again, b);
        assert_eq!(table.all_live(), [d, c, a, again]);
        // SAFETY: none of them is used again.
        unsafe { table.unmap_all() };
    }

    /// Marks the far end of each stack, which a trim wipes.
    fn mark(green: GreenRef) {
        // SAFETY: the lowest byte of a stack that nobody runs on.
        unsafe { limit(green).write_volatile(1) };
    }

    fn is_marked(green: GreenRef) -> bool {
        // SAFETY: as above.
        unsafe { limit(green).read_volatile() == 1 }
    }

    #[test]
    fn those_that_rest_longest_are_trimmed_batch_by_batch() {
        let table = ThreadTable::new();
        let count = WARM + TRIM_BATCH + 10;
        let all: Vec<_> = (0..count as u64)
            .map(|id| begin(&table, DEFAULT_SIZE, id))
            .collect();
        let marked = || all.iter().filter(|green| is_marked(**green)).count();
        for green in &all {
            mark(*green);
            end(&table, *green);
        }
        assert_eq!(marked(), count);
        table.trim();
        assert_eq!(marked(), count - TRIM_BATCH);
        table.trim();
        table.trim();
        assert_eq!(marked(), WARM);
        assert!(all[..count - WARM].iter().all(|green| !is_marked(*green)));
        // Taken up, used and at rest again, the trimmed ones are not taken for trimmed any more.
        let again: Vec<_> = (0..count as u64)
            .map(|id| begin(&table, DEFAULT_SIZE, id))
            .collect();
        for green in &again {
            mark(*green);
            end(&table, *green);
        }
        table.trim();
        assert_eq!(marked(), count - TRIM_BATCH);
        // SAFETY: none of them is used again.
        unsafe { table.unmap_all() };
    }
}
