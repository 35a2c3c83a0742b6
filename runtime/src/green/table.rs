//! `ThreadTable`: all green threads of a scheduler, those that are live and those that have
//! finished.
//!
//! A stack gets a control block when it is carved, and keeps it permanently. A finished green
//! thread stays on the free list, with its stack and its control block, until a spawn reuses it.
//! The spawn writes only what distinguishes the new green thread from the old one.
//!
//! The green thread that was freed last is reused first, because its pages are warm. Those that
//! have been free for long are trimmed: their memory is returned to the system, except for the
//! control block.
//!
//! The live green threads are those that are not on the free list. So no list of them is kept, and
//! neither a spawn nor an exit has to update one.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::green_ref::GreenRef;
use super::layout::init_on_stack;
use super::state::State;
use crate::pthread_identity::{Adopt, PthreadIdentity};
use crate::stack::{self, Slabs, Stack, StackRequest};

/// The number of free green threads of each stack size that keep all their pages.
const WARM: usize = 128;
/// The maximum number of stacks of each size that one call of `trim` trims, so that it takes well
/// under a millisecond.
const TRIM_BATCH: usize = 64;

/// The request that [`ThreadTable::allocate_warm`] answers: the usual one, or none.
static WARM_REQUEST: AtomicUsize = AtomicUsize::new(StackRequest::DEFAULT.word());

/// Makes [`ThreadTable::allocate_warm`] return `None` from now on, in the whole process.
pub(crate) fn allocate_no_more_warm() {
    WARM_REQUEST.store(usize::MAX, Ordering::Relaxed);
}

/// Whether [`allocate_no_more_warm`] was called.
pub(crate) fn is_warm_allocation_over() -> bool {
    WARM_REQUEST.load(Ordering::Relaxed) == usize::MAX
}

/// The green threads of one scheduler, except the root green thread.
#[derive(Debug)]
pub(crate) struct ThreadTable {
    /// The green threads with a stack of the default size, which are nearly all.
    default_class: RefCell<SizeClass>,
    /// One entry for each other kind of stack in use, a handful at most.
    other_classes: RefCell<Vec<SizeClass>>,
}

/// The green threads with a stack of one size, either with pthread identities or without.
#[derive(Debug)]
struct SizeClass {
    has_identities: bool,
    slabs: Slabs,
    all: Vec<GreenRef>,
    /// The free list: the finished green threads of `all`, in the order in which they were freed.
    /// Its capacity is sufficient for all of `all`.
    free: Vec<GreenRef>,
    /// The number of green threads at the front of `free` that are trimmed: those that have been
    /// free the longest.
    trimmed: usize,
}

impl ThreadTable {
    pub(crate) const fn new() -> Self {
        Self {
            default_class: RefCell::new(SizeClass::new(stack::DEFAULT_SIZE, false)),
            other_classes: RefCell::new(Vec::new()),
        }
    }

    /// Returns a control block that was used before, on a stack as requested. It counts as live from now on. The caller must
    /// [reinitialize](super::GreenThread::reinit) it.
    ///
    /// Returns `None` if there is none at hand, or if every green thread is to have an identity.
    #[inline(always)]
    pub(crate) fn allocate_warm(&self, requested: StackRequest) -> Option<GreenRef> {
        match requested.word() == WARM_REQUEST.load(Ordering::Relaxed) {
            true => self.default_class.borrow_mut().allocate_warm(),
            false => None,
        }
    }

    /// Returns a control block like [`Self::allocate_warm`], for `scheduler`.
    ///
    /// # Errors
    ///
    /// Returns `OutOfMemory`, or another error of the system, if no stack can be created.
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate(&self, requested: usize, scheduler: *const ()) -> io::Result<GreenRef> {
        let wanted = stack::round_size(requested)?;
        self.with_class(wanted, false, |class| class.allocate(scheduler))
    }

    /// Returns a control block like [`Self::allocate`], on a stack with a pthread identity.
    ///
    /// # Errors
    ///
    /// Returns an error as `allocate` does, and as [`PthreadIdentity::create`] does.
    ///
    /// # Safety
    ///
    /// `adopt` may be called with `scheduler` on any OS thread.
    #[cold]
    pub(crate) unsafe fn allocate_with_identity(
        &self,
        requested: usize,
        scheduler: *const (),
        adopt: Adopt,
    ) -> io::Result<GreenRef> {
        let size = requested.saturating_add(PthreadIdentity::area()?);
        let wanted = stack::round_size(size)?;
        self.with_class(wanted, true, |class| {
            let green = class.allocate(scheduler)?;
            if green.pthread.get().is_none() {
                let limit = green.stack.as_ref().map_or(ptr::null_mut(), Stack::limit);
                let top = green.as_ptr().cast();
                // SAFETY: the stack is larger than an identity, and nothing runs on it. `unmap_all`
                // destroys the identity first.
                match unsafe { PthreadIdentity::create(limit, top, adopt, scheduler) } {
                    Ok(identity) => drop(green.pthread.set(identity)),
                    Err(error) => {
                        class.free.push(green);
                        return Err(error);
                    }
                }
            }
            Ok(green)
        })
    }

    /// Puts a finished green thread on the free list. It may still be running, up to its last
    /// switch. The caller ensures that nothing is allocated before that switch.
    #[inline(always)]
    pub(crate) fn free(&self, green: GreenRef) {
        debug_assert_eq!(green.state.get(), State::Done);
        let stack = green
            .stack
            .as_ref()
            .expect("a root green thread is never freed");
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
        self.with_class(size, false, |class| class.free.push(green));
    }

    /// Puts a finished green thread with a pthread identity on its free list, like [`Self::free`].
    #[cold]
    pub(crate) fn free_with_identity(&self, green: GreenRef) {
        debug_assert_eq!(green.state.get(), State::Done);
        let size = green.stack.as_ref().map_or(0, Stack::size);
        self.with_class(size, true, |class| class.free.push(green));
    }

    /// Runs `f` on the class of stacks of size `wanted`, creating it if necessary.
    fn with_class<R>(
        &self,
        wanted: usize,
        has_identities: bool,
        f: impl FnOnce(&mut SizeClass) -> R,
    ) -> R {
        if wanted == stack::DEFAULT_SIZE && !has_identities {
            return f(&mut self.default_class.borrow_mut());
        }
        let mut other_classes = self.other_classes.borrow_mut();
        let found = other_classes.iter().position(|other| {
            other.slabs.size() == wanted && other.has_identities == has_identities
        });
        let at = found.unwrap_or_else(|| {
            other_classes.push(SizeClass::new(wanted, has_identities));
            other_classes.len() - 1
        });
        f(&mut other_classes[at])
    }

    /// Returns the number of live green threads.
    pub(crate) fn live(&self) -> usize {
        let mut live = self.default_class.borrow().live();
        for other in self.other_classes.borrow().iter() {
            live += other.live();
        }
        live
    }

    /// Returns all live green threads, oldest first.
    ///
    /// This iterates over as many control blocks as have ever been live at the same time, so it is
    /// only for rare operations.
    pub(crate) fn all_live(&self) -> Vec<GreenRef> {
        let mut all = self.default_class.borrow().all.clone();
        for other in self.other_classes.borrow().iter() {
            all.extend(&other.all);
        }
        all.retain(|green| green.state.get() != State::Done);
        all.sort_unstable_by_key(|green| green.id());
        all
    }

    /// Returns the memory of some stacks that have been free for long to the system, but keeps
    /// their address space.
    #[inline]
    pub(crate) fn trim(&self) {
        self.default_class.borrow_mut().trim();
        self.other_classes
            .borrow_mut()
            .iter_mut()
            .for_each(SizeClass::trim);
    }

    /// Unmaps all stacks, together with the control blocks on them.
    ///
    /// # Safety
    ///
    /// No green thread is live, and no pointer into a stack or to a control block is used again.
    pub(crate) unsafe fn unmap_all(&self) {
        let default_class = self
            .default_class
            .replace(SizeClass::new(stack::DEFAULT_SIZE, false));
        for class in mem::take(&mut *self.other_classes.borrow_mut())
            .into_iter()
            .chain([default_class])
        {
            let identities = class.all.iter().filter_map(|green| green.pthread.get());
            // SAFETY: its destructors ran when its last green thread finished, and it has no other
            // (caller).
            let destroyed = identities.map(|identity| unsafe { identity.destroy() });
            if destroyed.filter(|is_destroyed| !is_destroyed).count() > 0 {
                // The C library may still use one of the stacks. So they are leaked.
                continue;
            }
            // SAFETY: nothing uses the stacks (caller). A free control block has nothing to drop:
            // that was done when its green thread finished.
            unsafe { class.slabs.unmap() };
        }
    }
}

impl SizeClass {
    const fn new(size: usize, has_identities: bool) -> Self {
        Self {
            has_identities,
            slabs: Slabs::new(size),
            all: Vec::new(),
            free: Vec::new(),
            trimmed: 0,
        }
    }

    fn live(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Takes the green thread that was freed last from the free list, unless it is trimmed.
    #[inline(always)]
    fn allocate_warm(&mut self) -> Option<GreenRef> {
        if self.free.len() <= self.trimmed {
            return None;
        }
        self.free.pop()
    }

    /// Takes the green thread that was freed last from the free list, or creates one on a new
    /// stack.
    fn allocate(&mut self, scheduler: *const ()) -> io::Result<GreenRef> {
        if let Some(green) = self.free.pop() {
            self.trimmed = self.trimmed.min(self.free.len());
            return Ok(green);
        }
        let stack = self.slabs.carve()?;
        // SAFETY: a new stack, which nothing else uses, and which stays mapped until `unmap_all`.
        let green = unsafe { init_on_stack(scheduler, stack) };
        self.all.push(green);
        // Reserved here, so that putting a green thread on the free list cannot fail.
        self.free.reserve(self.all.len() - self.free.len());
        Ok(green)
    }

    /// Trims up to [`TRIM_BATCH`] stacks.
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
                let identity = green.pthread.get();
                let used = identity.map_or(stack.base(), PthreadIdentity::base);
                // SAFETY: the green thread has finished and is free, so the contents of its frames
                // are not read again. The control block is at the base, and the identity below it.
                // Both are kept.
                unsafe { stack.trim(used) };
            }
        }
        self.trimmed = end;
    }
}

#[cfg(test)]
mod tests {
    use super::{TRIM_BATCH, ThreadTable, WARM};
    use crate::green::{GreenRef, Identity, State};
    use crate::stack::{DEFAULT_SIZE, Stack, StackRequest};
    use std::panic::Location;
    use std::ptr;

    fn begin(table: &ThreadTable, size: usize, id: u64) -> GreenRef {
        let warm = table.allocate_warm(StackRequest::DEFAULT.with_size(size));
        let green = warm.unwrap_or_else(|| table.allocate(size, ptr::null()).unwrap());
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
    fn in_each_size_class_the_green_thread_freed_last_is_reused_first() {
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
        // SAFETY: none of the green threads is used again.
        unsafe { table.unmap_all() };
    }

    #[test]
    fn live_green_threads_are_listed_oldest_first() {
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
        // SAFETY: none of the green threads is used again.
        unsafe { table.unmap_all() };
    }

    /// Writes a mark to the far end of a stack, which a trim erases.
    fn mark(green: GreenRef) {
        // SAFETY: the lowest byte of a stack that nothing runs on.
        unsafe { limit(green).write_volatile(1) };
    }

    fn is_marked(green: GreenRef) -> bool {
        // SAFETY: the lowest byte of a stack that nothing runs on.
        unsafe { limit(green).read_volatile() == 1 }
    }

    #[test]
    fn the_stacks_that_have_been_free_longest_are_trimmed_in_batches() {
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
        // Trimmed stacks that have been reused and freed again do not count as trimmed any more.
        let again: Vec<_> = (0..count as u64)
            .map(|id| begin(&table, DEFAULT_SIZE, id))
            .collect();
        for green in &again {
            mark(*green);
            end(&table, *green);
        }
        table.trim();
        assert_eq!(marked(), count - TRIM_BATCH);
        // SAFETY: none of the green threads is used again.
        unsafe { table.unmap_all() };
    }
}
