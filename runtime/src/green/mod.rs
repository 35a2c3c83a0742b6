//! The green thread as data: its control block, and references to it.
//!
//! ```text
//!   base  -> +----------------+
//!            | GreenThread    |  the control block lies on top of its own stack
//!            | the closure    |
//!            | frames ...     |
//! ```
//!
//! So a spawn touches one page and allocates nothing. A control block stays on its stack for good, for
//! one green thread after the other ([`table`]). That of a root green thread (the OS thread's own
//! stack) lies in the scheduler.
//!
//! # Rules of access
//!
//! `[owner-thread]` A control block is touched by its OS thread alone. `GreenRef` is not `Send`;
//! whoever wants to reach a green thread from elsewhere goes through [`crate::inbox`].
//!
//! `[live-ref]` A `GreenRef` is followed only while its green thread is not `Done`: after that, the
//! control block is another one's, though it stays in place until the scheduler is gone. Those who keep
//! one drop it first:
//! 1. the run queue holds `Ready` (and `New`) green threads only;
//! 2. a wait node is unlinked before the wait returns or unwinds, and so is all that a wait has left
//!    elsewhere (who was woken last, who watches the ends of others);
//! 3. the timer node is unlinked when its green thread becomes ready;
//! 4. a join packet and an inbox token forget the reference when the green thread ends, and so do links
//!    to it.
//!
//! The table keeps them beyond that, for it is who takes them up again; whoever else has asked it for
//! all that live, and lets them run meanwhile, compares the id.
//!
//! `[one-runs]` Exactly one green thread of an OS thread runs, and it is `Ready`. Only the scheduler has
//! states changed, by the table in [`state`].

mod cold;
mod state;
mod table;
mod wait_reason;

use std::cell::{Cell, OnceCell, UnsafeCell};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Instant;

pub(crate) use cold::{ColdState, Payload};
pub(crate) use state::State;
pub(crate) use table::ThreadTable;
pub use wait_reason::WaitReason;
pub(crate) use wait_reason::Wake;

use crate::context::Context;
use crate::heap;
use crate::inbox::RemoteHandle;
use crate::stack::Stack;

/// Where a green thread was spawned.
pub(crate) type SpawnSite = &'static std::panic::Location<'static>;

/// What tells a green thread apart, also after its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) id: u64,
    /// Zero for a root.
    pub(crate) parent: u64,
    pub(crate) site: SpawnSite,
}

/// The control block. What a switch touches comes first, on a cache line of its own.
#[repr(C, align(64))]
pub(crate) struct GreenThread {
    /// Where it goes on. Touched by the switch alone.
    pub(crate) context: UnsafeCell<Context>,
    pub(crate) state: Cell<State>,
    /// Something is to be looked at where it parks: a kill is pending, or a timeout scope is open.
    pub(crate) interrupt_pending: Cell<bool>,
    /// Parked in a destructor that runs while it unwinds: nothing ends that wait before its time.
    pub(crate) uninterruptible: Cell<bool>,
    /// `thread::unpark` came before `thread::park`.
    pub(crate) park_token: Cell<bool>,
    /// It is to be killed at its next opportunity.
    pub(crate) killed: Cell<bool>,
    /// It has run: too late to cancel it.
    pub(crate) started: Cell<bool>,
    /// Depth of shields: while above zero nothing is thrown.
    pub(crate) shields: Cell<u32>,
    /// The period in which it began to unwind, zero if it does not: see `thread::unwinding`.
    pub(crate) unwinding_since: Cell<u64>,
    /// The scheduler it belongs to, for all its life. Opaque here, a layer above knows the type.
    pub(crate) scheduler: *const (),
    /// What it waits for while parked.
    pub(crate) reason: Cell<WaitReason>,
    /// When to wake it at the latest. Linked only while parked, or before a delayed start.
    pub(crate) timer: heap::Node<Instant, NonNull<Self>>,
    /// The innermost open timeout scope, in a frame of this green thread.
    pub(crate) timeout_scopes: Cell<*const TimeoutScope>,
    identity: Cell<Identity>,
    /// The handle that reaches it from everywhere, made when first asked for.
    handle: Cell<Option<Arc<RemoteHandle>>>,
    cold: OnceCell<Box<ColdState>>,
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
    /// The control block of a root. It must be [`Self::pin`]ned when it has reached its place.
    pub(crate) fn root(identity: Identity, name: Option<Box<str>>) -> Self {
        let root = Self::new(ptr::null(), None);
        root.reinit(identity);
        root.set_name(name);
        root.state.set(State::Ready(Wake::Unparked));
        root
    }

    /// Puts a control block onto a new stack, where it rests.
    ///
    /// # Safety
    ///
    /// Nobody else uses the stack, and it stays mapped for as long as the block is used.
    unsafe fn init_on_stack(scheduler: *const (), stack: Stack) -> GreenRef {
        let block = NonNull::new(block_below(stack.base())).expect("a stack has an address");
        // SAFETY: aligned and inside the stack, which is ours alone (caller); it stays there.
        unsafe {
            block.write(Self::new(scheduler, Some(stack)));
            Self::pin(block);
            GreenRef::new(block)
        }
    }

    /// A control block that rests.
    fn new(scheduler: *const (), stack: Option<Stack>) -> Self {
        let nobody = Identity {
            id: 0,
            parent: 0,
            site: std::panic::Location::caller(),
        };
        Self {
            context: UnsafeCell::new(Context::new()),
            state: Cell::new(State::Done),
            interrupt_pending: Cell::new(false),
            uninterruptible: Cell::new(false),
            park_token: Cell::new(false),
            killed: Cell::new(false),
            started: Cell::new(false),
            shields: Cell::new(0),
            unwinding_since: Cell::new(0),
            scheduler,
            reason: Cell::new(WaitReason::Start),
            timer: heap::Node::new(NonNull::dangling()),
            timeout_scopes: Cell::new(ptr::null()),
            identity: Cell::new(nobody),
            handle: Cell::new(None),
            cold: OnceCell::new(),
            stack,
        }
    }

    /// Tells the embedded node where it is.
    ///
    /// # Safety
    ///
    /// `this` is valid, and stays where it is until it is dropped.
    pub(crate) unsafe fn pin(this: NonNull<Self>) {
        // SAFETY: valid (caller), and no reference to the field exists yet.
        unsafe { (*this.as_ptr()).timer.value = this };
    }

    /// Makes one that rests a new green thread. What is not written here is as it must be whenever a
    /// green thread has ended: no timer is set, no scope open, no handle leads to it, and there is
    /// nothing that it rarely has.
    #[inline(always)]
    pub(crate) fn reinit(&self, identity: Identity) {
        debug_assert!(self.state.get() == State::Done && self.cold.get().is_none());
        debug_assert!(!self.timer.is_linked() && self.timeout_scopes.get().is_null());
        self.state.set(State::New);
        self.interrupt_pending.set(false);
        self.uninterruptible.set(false);
        self.park_token.set(false);
        self.killed.set(false);
        self.started.set(false);
        self.shields.set(0);
        self.unwinding_since.set(0);
        self.reason.set(WaitReason::Start);
        self.identity.set(identity);
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
    pub(crate) fn cold_or_init(&self) -> &ColdState {
        self.cold.get_or_init(Box::default)
    }

    /// What it rarely has, if it has.
    pub(crate) fn cold(&self) -> Option<&ColdState> {
        self.cold.get().map(|cold| &**cold)
    }

    /// As its locals must be when it ends: gone.
    pub(crate) fn drop_locals(&self) {
        if let Some(cold) = self.cold() {
            cold.drop_locals();
        }
    }

    /// Takes out what it rarely has, at its end.
    ///
    /// # Safety
    ///
    /// Nobody has a reference to it.
    pub(crate) unsafe fn take_cold(green: GreenRef) -> Option<Box<ColdState>> {
        // SAFETY: it lives; the reference to this one field is the only one (caller).
        unsafe { (*green.as_ptr()).cold.take() }
    }

    #[inline(always)]
    pub(crate) fn identity(&self) -> Identity {
        self.identity.get()
    }

    #[inline(always)]
    pub(crate) fn id(&self) -> u64 {
        self.identity.get().id
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.cold()?.name.as_deref()
    }

    /// Names it, before it has anything else that is rare.
    #[inline(always)]
    pub(crate) fn set_name(&self, name: Option<Box<str>>) {
        if name.is_some() {
            self.cold.get_or_init(|| ColdState::named(name));
        }
    }

    /// The handle that reaches it from everywhere.
    pub(crate) fn handle(&self, make: impl FnOnce() -> RemoteHandle) -> Arc<RemoteHandle> {
        let handle = self.handle.take().unwrap_or_else(|| Arc::new(make()));
        let share = Arc::clone(&handle);
        self.handle.set(Some(handle));
        share
    }

    /// Nobody reaches it any more.
    #[inline(always)]
    pub(crate) fn forget_handle(&self) {
        if let Some(handle) = self.handle.take() {
            handle.forget_green();
        }
    }

    /// The deadline of the open scope that fires first, if nothing holds it back.
    pub(crate) fn scope_deadline(&self) -> Option<Instant> {
        self.first_scope().and_then(|scope| scope.deadline.get())
    }

    /// The open scope that fires first; the outer one among equals.
    pub(crate) fn first_scope(&self) -> Option<&TimeoutScope> {
        let mut first: Option<&TimeoutScope> = None;
        let mut at = self.timeout_scopes.get();
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
        self.shields.get() == 0 && !self.uninterruptible.get()
    }

    /// Whether a kill waits to be thrown here.
    pub(crate) fn kill_due(&self) -> bool {
        self.killed.get() && self.shields.get() == 0
    }

    /// Brings `interrupt_pending` up to date after a change to what it sums up.
    pub(crate) fn update_interrupt_pending(&self) {
        self.interrupt_pending
            .set(self.killed.get() || !self.timeout_scopes.get().is_null());
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

    /// Whose context it is.
    ///
    /// # Safety
    ///
    /// It came from [`Self::context`], and as for [`Self::new`].
    #[inline(always)]
    pub(crate) unsafe fn of_context(context: *mut Context) -> Self {
        const { assert!(std::mem::offset_of!(GreenThread, context) == 0) };
        // SAFETY: it lies in a control block, at its beginning (caller), so it is not null.
        Self(unsafe { NonNull::new_unchecked(context.cast()) })
    }

    /// The context, for the switch.
    pub(crate) fn context(self) -> *mut Context {
        // By way of the block, since `of_context` goes back to it.
        // SAFETY: live ([live-ref]); no reference is made.
        unsafe { UnsafeCell::raw_get(&raw const (*self.0.as_ptr()).context) }
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
const MAX_INLINE_CLOSURE: usize = 2048;

/// Where the control block goes on a stack with this `base`.
#[inline(always)]
fn block_below(base: *mut u8) -> *mut GreenThread {
    let end = base.addr() - size_of::<GreenThread>();
    base.wrapping_sub(size_of::<GreenThread>() + end % align_of::<GreenThread>())
        .cast()
}

/// Where a closure goes below its control block, and the stack begins. `None`: it is too large or
/// too much aligned for that, and is to be boxed.
#[inline(always)]
pub(crate) fn closure_below<F>(block: *mut GreenThread) -> Option<*mut F> {
    // Known when compiled, as the block is aligned.
    let align = align_of::<F>().max(16);
    let fits = size_of::<F>() <= MAX_INLINE_CLOSURE && align <= align_of::<GreenThread>();
    fits.then(|| {
        block
            .wrapping_byte_sub(size_of::<F>().next_multiple_of(align))
            .cast()
    })
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
        #[repr(align(64))]
        struct Line(#[expect(dead_code, reason = "it has a size")] [u8; 100]);
        #[repr(align(128))]
        struct TooMuch(#[expect(dead_code, reason = "it has an alignment")] u8);
        fn place<F>(block: *mut GreenThread) {
            let closure = closure_below::<F>(block).expect("it fits");
            assert!(closure.addr() + size_of::<F>() <= block.addr());
            assert!(closure.addr().is_multiple_of(align_of::<F>().max(16)));
        }
        for base in [1 << 20, (1 << 20) - 64, (1 << 20) - 16] {
            let base = std::ptr::without_provenance_mut::<u8>(base);
            let block = block_below(base);
            assert!(block.addr() + size_of::<GreenThread>() <= base.addr());
            assert_eq!(block.addr() % align_of::<GreenThread>(), 0);
            place::<()>(block);
            place::<u8>(block);
            place::<[usize; 3]>(block);
            place::<Line>(block);
            place::<[u128; 128]>(block);
            assert!(closure_below::<TooMuch>(block).is_none());
            assert!(closure_below::<[u8; 2049]>(block).is_none());
        }
    }
}
