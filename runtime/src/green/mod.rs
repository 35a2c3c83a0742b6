//! The green thread as data: its control block, and references to it.
//!
//! ```text
//!   base  -> +----------------+
//!            | GreenThread    |  the control block lies on top of its own stack
//!            | the closure    |
//!            | frames ...     |
//! ```
//!
//! So a spawn touches one page and allocates nothing. The control block of a root green thread (the
//! OS thread's own stack) lies in the scheduler.
//!
//! # Rules of access
//!
//! `[owner-thread]` A control block is touched by its OS thread alone. `GreenRef` is not `Send`;
//! whoever wants to reach a green thread from elsewhere goes through [`crate::inbox`].
//!
//! `[live-ref]` A `GreenRef` is followed only while its green thread is not `Done`. Those who keep
//! one drop it first:
//! 1. the run queue holds `Ready` (and `New`) green threads only;
//! 2. a wait node is unlinked before the wait returns or unwinds;
//! 3. the timer node is unlinked when its green thread becomes ready;
//! 4. a join packet and an inbox token forget the reference when the green thread ends.
//!
//! `[one-runs]` Exactly one green thread of an OS thread runs, and it is `Ready`. Only the scheduler changes
//! states, by the table in [`state`].

mod rare;
mod state;
mod wait;

use std::cell::{Cell, OnceCell, UnsafeCell};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Instant;

pub(crate) use rare::{Payload, Rare};
pub(crate) use state::State;
pub use wait::WaitReason;
pub(crate) use wait::Wake;

use crate::context::Context;
use crate::heap;
use crate::inbox::Handle;
use crate::list;
use crate::stack::Stack;

/// Where a green thread was spawned.
pub(crate) type Site = &'static std::panic::Location<'static>;

/// What tells a green thread apart, also after its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) id: u64,
    /// Zero for a root.
    pub(crate) parent: u64,
    pub(crate) site: Site,
}

/// The control block. What a switch touches comes first, on a cache line of its own.
#[repr(C, align(64))]
pub(crate) struct GreenThread {
    /// Where it goes on. Touched by the switch alone.
    pub(crate) context: UnsafeCell<Context>,
    pub(crate) state: Cell<State>,
    /// Something is to be looked at where it parks: a kill is pending, or a timeout scope is open.
    pub(crate) attention: Cell<bool>,
    /// Parked in a destructor that runs while it unwinds: nothing ends that wait before its time.
    pub(crate) left_alone: Cell<bool>,
    /// `thread::unpark` came before `thread::park`.
    pub(crate) token: Cell<bool>,
    /// It is to be killed at its next opportunity.
    pub(crate) killed: Cell<bool>,
    /// The period in which it began to unwind, zero if it does not: see `thread::unwinding`.
    pub(crate) panicked: Cell<u64>,
    /// It has run: too late to cancel it.
    pub(crate) started: Cell<bool>,
    /// Depth of shields: while above zero nothing is thrown.
    pub(crate) shields: Cell<u32>,
    /// The scheduler it belongs to, for all its life. Opaque here, a layer above knows the type.
    pub(crate) scheduler: *const (),
    /// What it waits for while parked.
    pub(crate) reason: Cell<WaitReason>,
    /// When to wake it at the latest. Linked only while parked, or before a delayed start.
    pub(crate) timer: heap::Node<Instant, NonNull<Self>>,
    /// The innermost open timeout scope, in a frame of this green thread.
    pub(crate) scopes: Cell<*const TimeoutScope>,
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) site: Site,
    /// The handle that reaches it from everywhere, made when first asked for.
    pub(crate) handle: OnceCell<Arc<Handle>>,
    rare: OnceCell<Box<Rare>>,
    /// In the list of all live green threads.
    pub(crate) registered: list::Node<NonNull<Self>>,
    /// None for a root.
    pub(crate) stack: Option<Stack>,
}

/// One open `timeout`: a frame of the green thread holds it, the control block links it.
#[derive(Debug)]
pub(crate) struct TimeoutScope {
    /// `None` never comes.
    pub(crate) deadline: Cell<Option<Instant>>,
    pub(crate) outer: *const Self,
    /// Opened under a shield of this depth: a deeper shield holds it back.
    pub(crate) shields: u32,
}

impl GreenThread {
    /// A control block, of a root where there is no `stack`.
    ///
    /// It must be [`Self::pin`]ned when it has reached its place.
    #[inline(always)]
    pub(crate) fn new(
        scheduler: *const (),
        identity: Identity,
        name: Option<Box<str>>,
        stack: Option<Stack>,
    ) -> Self {
        let Identity { id, parent, site } = identity;
        Self {
            context: UnsafeCell::new(Context::new()),
            scheduler,
            state: Cell::new(State::New),
            token: Cell::new(false),
            attention: Cell::new(false),
            killed: Cell::new(false),
            panicked: Cell::new(0),
            left_alone: Cell::new(false),
            shields: Cell::new(0),
            reason: Cell::new(WaitReason::Start),
            timer: heap::Node::new(NonNull::dangling()),
            scopes: Cell::new(ptr::null()),
            id,
            parent,
            site,
            handle: OnceCell::new(),
            started: Cell::new(false),
            rare: Rare::named(name),
            registered: list::Node::new(NonNull::dangling()),
            stack,
        }
    }

    /// Tells the embedded nodes where they are.
    ///
    /// # Safety
    ///
    /// `this` is valid, and stays where it is until it is dropped.
    pub(crate) unsafe fn pin(this: NonNull<Self>) {
        // SAFETY: valid (caller), and no reference to the fields exists yet.
        unsafe {
            (*this.as_ptr()).timer.value = this;
            (*this.as_ptr()).registered.value = this;
        }
    }

    /// Has the processor fetch the first line of a control block; null and dangling do no harm.
    #[inline(always)]
    pub(crate) fn prefetch(block: *const Self) {
        prefetch(block.cast());
    }

    /// Has the processor fetch the top of a suspended stack.
    #[inline(always)]
    pub(crate) fn prefetch_stack(block: *const Self) {
        // SAFETY: null, or queued, so it lives ([live-ref] 1); it does not run.
        if let Some(green) = unsafe { block.as_ref() } {
            // SAFETY: as above; nobody else touches the context of one that does not run.
            prefetch(unsafe { (*green.context.get()).stack_pointer() });
        }
    }

    /// What it rarely has, made now if it was not yet.
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// What it rarely has, if it has.
    pub(crate) fn if_rare(&self) -> Option<&Rare> {
        self.rare.get().map(|rare| &**rare)
    }

    /// As its locals must be when it ends: gone.
    pub(crate) fn drop_locals(&self) {
        if let Some(rare) = self.if_rare() {
            rare.drop_locals();
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            id: self.id,
            parent: self.parent,
            site: self.site,
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.if_rare()?.name.as_deref()
    }

    /// The deadline of the open scope that fires first, if nothing holds it back.
    pub(crate) fn scope_deadline(&self) -> Option<Instant> {
        self.first_scope().and_then(|scope| scope.deadline.get())
    }

    /// The open scope that fires first; the outer one among equals.
    pub(crate) fn first_scope(&self) -> Option<&TimeoutScope> {
        let mut first: Option<&TimeoutScope> = None;
        let mut at = self.scopes.get();
        // SAFETY: a linked scope lies in a frame below the caller's, and unlinks itself before that
        // frame ends (`thread::timeout`).
        while let Some(scope) = unsafe { at.as_ref() } {
            at = scope.outer;
            if scope.shields < self.shields.get() || scope.deadline.get().is_none() {
                continue;
            }
            if first.is_none_or(|first| scope.deadline.get() <= first.deadline.get()) {
                first = Some(scope);
            }
        }
        first
    }

    /// Whether a kill or a timeout may end its wait. Does not change while it is parked.
    pub(crate) fn is_interruptible(&self) -> bool {
        self.shields.get() == 0 && !self.left_alone.get()
    }

    /// Whether a kill waits to be thrown here.
    pub(crate) fn kill_due(&self) -> bool {
        self.killed.get() && self.shields.get() == 0
    }

    /// Brings `attention` up to date after a change to what it sums up.
    pub(crate) fn look_again(&self) {
        self.attention
            .set(self.killed.get() || !self.scopes.get().is_null());
    }
}

/// A reference to a live green thread of this OS thread: `[live-ref]`, `[owner-thread]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GreenRef(NonNull<GreenThread>);

impl GreenRef {
    /// # Safety
    ///
    /// The control block is pinned, and the holder of the reference keeps `[live-ref]`.
    pub(crate) unsafe fn new(green: NonNull<GreenThread>) -> Self {
        Self(green)
    }

    pub(crate) fn as_ptr(self) -> *mut GreenThread {
        self.0.as_ptr()
    }

    pub(crate) fn as_non_null(self) -> NonNull<GreenThread> {
        self.0
    }

    /// The context, for the switch.
    pub(crate) fn context(self) -> *mut Context {
        self.context.get()
    }
}

impl std::ops::Deref for GreenRef {
    type Target = GreenThread;

    #[inline(always)]
    fn deref(&self) -> &GreenThread {
        // SAFETY: live ([live-ref]) and only ever shared: all that changes is in cells.
        unsafe { self.0.as_ref() }
    }
}

/// A hint, where the processor takes one.
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; an address of any kind is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: *const u8 = address;
}

/// The most of a closure that goes onto the stack with the control block. Larger ones are boxed, so
/// that a stack keeps the size that was asked for.
pub(crate) const MAX_INLINE_CLOSURE: usize = 2048;

/// Where the control block goes on a stack with this `base`.
#[inline(always)]
pub(crate) fn block_below(base: *mut u8) -> *mut GreenThread {
    let align = align_of::<GreenThread>().max(16);
    down(base, size_of::<GreenThread>(), align).cast()
}

/// Where a closure of `size` and `align` goes below its control block, and the stack begins.
#[inline(always)]
pub(crate) fn closure_below(block: *mut GreenThread, size: usize, align: usize) -> *mut u8 {
    down(block.cast(), size, align.max(16))
}

/// The highest place for so many bytes below `from`.
#[inline(always)]
fn down(from: *mut u8, size: usize, align: usize) -> *mut u8 {
    let end = from.addr() - size;
    from.wrapping_sub(size + end % align)
}

#[cfg(test)]
mod tests {
    use super::{GreenThread, block_below, closure_below};

    /// One page must hold colour, control block and the frames of a parked green thread.
    #[test]
    fn a_control_block_is_small() {
        assert!(
            size_of::<GreenThread>() <= 320,
            "{} bytes",
            size_of::<GreenThread>()
        );
    }

    #[test]
    fn what_is_placed_is_aligned_and_does_not_overlap() {
        let base = std::ptr::without_provenance_mut::<u8>(1 << 20);
        for (size, align) in [(0, 1), (1, 1), (24, 8), (100, 64), (2048, 16)] {
            let block = block_below(base);
            let closure = closure_below(block, size, align);
            assert!(block.addr() + size_of::<GreenThread>() <= base.addr());
            assert!(closure.addr() + size <= block.addr());
            assert!(closure.addr().is_multiple_of(align.max(16)));
            assert_eq!(block.addr() % align_of::<GreenThread>(), 0);
        }
    }
}
