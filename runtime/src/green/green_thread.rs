//! The control block of a green thread.

use std::cell::{Cell, OnceCell, UnsafeCell};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Instant;

use super::cold::ColdState;
use super::identity::Identity;
use super::remote::RemoteHandle;
use super::state::{State, Wake};
use super::timeout_scope::TimeoutScope;
use super::wait_reason::WaitReason;
use crate::context::Context;
use crate::heap;
use crate::pthread_identity::PthreadIdentity;
use crate::stack::Stack;

/// The control block. The fields that a switch touches come first, on a cache line of their own.
#[repr(C, align(64))]
pub(crate) struct GreenThread {
    /// The suspended context. Only the switch touches it.
    pub(crate) context: UnsafeCell<Context>,
    pub(crate) state: Cell<State>,
    /// A kill is pending or a timeout scope is open, so the slow path must be taken where it parks.
    pub(crate) interrupt_pending: Cell<bool>,
    /// Parked in a destructor during unwinding: no kill and no timeout may end this wait.
    pub(crate) uninterruptible: Cell<bool>,
    /// Whether an interrupt has been thrown in it.
    pub(crate) interrupt_thrown: Cell<bool>,
    /// `Thread::unpark` was called since the last `thread::park`.
    pub(crate) park_token: Cell<bool>,
    /// A kill is pending. Stays set until the green thread ends.
    pub(crate) killed: Cell<bool>,
    /// The closure has started, so it is too late to cancel it.
    pub(crate) started: Cell<bool>,
    /// Its waits do not keep a deadlock from being reported.
    pub(crate) is_background: Cell<bool>,
    /// The number of active shields; nothing is thrown unless it is zero.
    pub(crate) shields: Cell<u32>,
    /// The period in which this green thread began to unwind; zero if it does not
    /// (`thread::unwinding`).
    pub(crate) unwinding_since: Cell<u64>,
    /// The scheduler that owns it, for its whole life. Opaque, because the type belongs to a layer
    /// above.
    pub(crate) scheduler: *const (),
    /// The reason of the wait, while parked.
    pub(crate) reason: Cell<WaitReason>,
    /// Its deadline. Linked only while the green thread is parked, or before a delayed start.
    pub(crate) timer: heap::Node<Instant, NonNull<Self>>,
    /// The innermost open timeout scope, in a frame of this green thread.
    pub(crate) timeout_scopes: Cell<*const TimeoutScope>,
    identity: Cell<Identity>,
    /// The remote handle; created when first requested.
    pub(super) remote_handle: Cell<Option<Arc<RemoteHandle>>>,
    pub(super) cold: OnceCell<Box<ColdState>>,
    /// `None` for a root green thread.
    pub(crate) stack: Option<Stack>,
    /// The pthread identity of the stack. Most stacks have none.
    pub(crate) pthread: OnceCell<PthreadIdentity>,
}

impl GreenThread {
    /// Creates the control block of a root green thread. The caller calls [`Self::pin`] once it has
    /// reached its final address.
    pub(crate) fn root(identity: Identity, name: Option<Box<str>>) -> Self {
        let root = Self::new(ptr::null(), None);
        root.reinit(identity);
        root.set_name(name);
        root.state.set(State::Ready(Wake::Unparked));
        root
    }

    /// Creates a free control block.
    pub(super) fn new(scheduler: *const (), stack: Option<Stack>) -> Self {
        let no_identity = Identity {
            id: 0,
            parent: 0,
            site: std::panic::Location::caller(),
        };
        Self {
            context: UnsafeCell::new(Context::new()),
            state: Cell::new(State::Done),
            interrupt_pending: Cell::new(false),
            uninterruptible: Cell::new(false),
            interrupt_thrown: Cell::new(false),
            park_token: Cell::new(false),
            killed: Cell::new(false),
            started: Cell::new(false),
            is_background: Cell::new(false),
            shields: Cell::new(0),
            unwinding_since: Cell::new(0),
            scheduler,
            reason: Cell::new(WaitReason::Start),
            timer: heap::Node::new(NonNull::dangling()),
            timeout_scopes: Cell::new(ptr::null()),
            identity: Cell::new(no_identity),
            remote_handle: Cell::new(None),
            cold: OnceCell::new(),
            stack,
            pthread: OnceCell::new(),
        }
    }

    /// Stores the address of the control block in its timer node.
    ///
    /// # Safety
    ///
    /// `this` is valid and does not move until it is dropped.
    pub(crate) unsafe fn pin(this: NonNull<Self>) {
        // SAFETY: valid (caller), and no reference to the field exists yet.
        unsafe { (*this.as_ptr()).timer.value = this };
    }

    /// Turns a free control block into a new green thread.
    ///
    /// Fields that are not written here already have the right value in every finished green
    /// thread. No timer is set and no timeout scope is open. There is no remote handle and no cold
    /// state. None is in the background.
    #[inline(always)]
    pub(crate) fn reinit(&self, identity: Identity) {
        debug_assert!(self.state.get() == State::Done && self.cold.get().is_none());
        debug_assert!(!self.timer.is_linked() && self.timeout_scopes.get().is_null());
        self.state.set(State::New);
        self.interrupt_pending.set(false);
        self.uninterruptible.set(false);
        self.interrupt_thrown.set(false);
        self.park_token.set(false);
        self.killed.set(false);
        self.started.set(false);
        self.shields.set(0);
        self.unwinding_since.set(0);
        self.reason.set(WaitReason::Start);
        self.identity.set(identity);
    }

    /// Replaces the id of the spawner, before anything has seen it. Discards the remote handle.
    pub(crate) fn set_parent(&self, parent: u64) {
        self.detach_remote_handle();
        let identity = self.identity.get();
        self.identity.set(Identity { parent, ..identity });
    }

    /// Prefetches the first cache line of a control block. `block` may be null or dangling.
    #[inline(always)]
    pub(crate) fn prefetch(block: *const Self) {
        prefetch(block.cast());
    }

    /// Prefetches the top of a suspended stack.
    #[inline(always)]
    pub(crate) fn prefetch_stack(block: *const Self) {
        // SAFETY: null, or queued and therefore live ([live-ref] 1); it does not run.
        if let Some(green) = unsafe { block.as_ref() } {
            // SAFETY: as above; only a switch touches the context, and none is under way.
            prefetch(unsafe { (*green.context.get()).stack_pointer() });
        }
    }

    /// Returns the cold state, allocating it if necessary.
    pub(crate) fn cold_or_init(&self) -> &ColdState {
        self.cold.get_or_init(Box::default)
    }

    /// Returns the cold state, if allocated.
    pub(crate) fn cold(&self) -> Option<&ColdState> {
        self.cold.get().map(|cold| &**cold)
    }

    /// Drops the locals of the green thread. Called when it finishes.
    #[inline]
    pub(crate) fn drop_locals(&self) {
        if let Some(cold) = self.cold() {
            cold.drop_locals();
        }
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

    /// Sets the name, before any other cold state exists.
    #[inline(always)]
    pub(crate) fn set_name(&self, name: Option<Box<str>>) {
        if name.is_some() {
            self.cold.get_or_init(|| ColdState::named(name));
        }
    }

    /// Makes the remote handle, if there is one, report the green thread as ended.
    #[inline(always)]
    pub(crate) fn detach_remote_handle(&self) {
        if let Some(handle) = self.remote_handle.take() {
            handle.detach();
        }
    }

    /// Returns the open timeout scope that expires first and that no shield defers.
    pub(crate) fn first_scope(&self) -> Option<&TimeoutScope> {
        self.first_scope_where(|_| true)
    }

    fn first_scope_where(&self, filter: impl Fn(&TimeoutScope) -> bool) -> Option<&TimeoutScope> {
        let (innermost, shields) = (self.timeout_scopes.get(), self.shields.get());
        // SAFETY: the head of this green thread's scopes. They lie in frames of its own stack, and a
        // caller that unlinks one does not use the result afterwards (`thread::timeout`).
        unsafe { TimeoutScope::first_to_expire(innermost, shields, filter) }
    }

    /// Returns the earliest deadline of the scopes that were opened by a destructor during unwinding.
    pub(crate) fn destructor_deadline(&self) -> Option<Instant> {
        let first = self.first_scope_where(|scope| scope.in_destructor);
        first.and_then(|scope| scope.deadline.get())
    }

    /// Returns the deadline of [`Self::first_scope`].
    pub(crate) fn scope_deadline(&self) -> Option<Instant> {
        self.first_scope().and_then(|scope| scope.deadline.get())
    }

    /// Whether a kill or a timeout may end its wait. This does not change while it is parked.
    pub(crate) fn is_interruptible(&self) -> bool {
        self.shields.get() == 0 && !self.uninterruptible.get()
    }

    /// Whether a kill is pending and no shield defers it.
    pub(crate) fn kill_due(&self) -> bool {
        self.killed.get() && self.shields.get() == 0
    }

    /// Recomputes `interrupt_pending` after a change to `killed` or `timeout_scopes`.
    pub(crate) fn update_interrupt_pending(&self) {
        self.interrupt_pending
            .set(self.killed.get() || !self.timeout_scopes.get().is_null());
    }
}

/// A prefetch hint, on architectures where the compiler offers one.
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, for which any address is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: *const u8 = address;
}

#[cfg(test)]
mod tests {
    use super::GreenThread;

    /// One page must hold the color offset, the control block and the frames of a parked green
    /// thread.
    #[test]
    fn a_control_block_is_small() {
        assert!(
            size_of::<GreenThread>() <= 320,
            "{} bytes",
            size_of::<GreenThread>()
        );
    }
}
