//! Green threads with pthread identities of their own: their birth, their switches and their end.
//!
//! The scheduler sets the thread pointer where it switches from or to such a green thread
//! ([own-thread-pointer] in [`crate::pthread_identity`]). A switch between two others must not pay for
//! that, so the paths are separate:
//!
//! - While a green thread with an identity runs, an attention bit makes each of its turns leave the
//!   fast path. It switches in [`Scheduler::switch_from_identity`], which first sets the thread
//!   pointer of the OS thread if the next green thread has no identity.
//! - A green thread without an identity switches on the fast path, and does not know which kind comes
//!   next. One that has an identity sets its own thread pointer when it is continued.
//!
//! The OS thread itself polls and waits under its own thread pointer. Another OS thread that calls
//! `setuid` sends it a signal, and glibc's handler must find the state of the OS thread.
//!
//! The ticker knows the counter of operations of the OS thread only ([`super::budget`]). Under an
//! identity, each operation is therefore checked.

use std::io;
use std::ptr::{self, NonNull};

use super::attention::AttentionBit;
use super::spawn::end_cold;
use super::{Scheduler, SpawnOptions, current};
use crate::green::{GreenRef, GreenThread, allocate_no_more_warm, is_warm_allocation_over};
use crate::pthread_identity::PthreadIdentity;
use crate::unhooked::unhooked;

/// Gives all green threads an identity if `EVY_OWN_IDENTITY` is set, on targets where they can have one.
/// The tests run once like that.
pub(super) fn read_environment() {
    if cfg!(evy_identity) && std::env::var_os("EVY_OWN_IDENTITY").is_some() {
        give_identities_to_all();
    }
}

/// Makes all green threads that are spawned from now on get an identity.
pub(crate) fn give_identities_to_all() {
    allocate_no_more_warm();
}

/// Whether a green thread with these options gets an identity.
pub(super) fn is_wanted(options: &SpawnOptions) -> bool {
    options.stack.has_identity() || is_warm_allocation_over()
}

/// Runs the destructors of thread locals if `me`, which runs, has an identity.
///
/// The closure of `me` and its exit hooks have ended, so nothing on its stack uses a thread local any
/// more. The destructors may park. A kill does not interrupt them.
#[inline]
pub(crate) fn drop_thread_locals(me: GreenRef) {
    if let Some(identity) = me.pthread.get() {
        drop_those_of(me, identity);
    }
}

#[cold]
fn drop_those_of(me: GreenRef, identity: &PthreadIdentity) {
    me.shields.set(me.shields.get() + 1);
    // SAFETY: `me` runs under its identity, and its closure has ended (`drop_thread_locals`).
    unsafe { identity.run_destructors() };
    me.shields.set(me.shields.get() - 1);
}

impl Scheduler {
    /// Spawns a green thread with an identity. See [`Self::spawn`]. `prepare` prepares its context on
    /// the stack below an address.
    #[cold]
    #[inline(never)]
    pub(super) fn spawn_with_identity(
        &self,
        options: SpawnOptions,
        start: Option<std::time::Instant>,
        prepare: &mut dyn FnMut(GreenRef, *mut u8),
    ) -> io::Result<GreenRef> {
        let scheduler = ptr::from_ref(self).cast::<()>();
        // SAFETY: `adopt` only stores the pointer.
        let green = unhooked(|| unsafe {
            self.threads
                .allocate_with_identity(options.stack.size(), scheduler, current::adopt)
        })?;
        self.init(green, options, start, || prepare(green, base_of(green)));
        self.allocate_waker(green);
        Ok(green)
    }

    /// Allocates what [`Waker`](crate::lowlevel::hooks::Waker) needs.
    ///
    /// The allocator itself may wait for a lock, in the middle of the first allocation of the green
    /// thread, so that wait must not allocate.
    pub(super) fn allocate_waker(&self, green: GreenRef) {
        drop(unhooked(|| self.remote_handle(green)));
    }

    /// Parks `me`, which has an identity, until it is continued.
    #[inline(never)]
    pub(super) fn park_with_identity(&self, me: GreenRef) {
        end_turn(me);
        let next = self.next_with_identity();
        if next == me {
            self.enter_identity(me);
        } else {
            self.switch_from_identity(me, next);
        }
    }

    /// Lets the others run before `me`, which has an identity, continues.
    #[inline(never)]
    pub(super) fn yield_with_identity(&self, me: GreenRef) {
        if !self.is_quiet_turn() {
            self.run_queue.push(me);
            self.park_with_identity(me);
        } else if let Some(next) = self.run_queue.rotate(me) {
            self.switch_from_identity(me, next);
        }
    }

    /// Whether only the identity makes this turn leave the fast path.
    #[inline]
    fn is_quiet_turn(&self) -> bool {
        self.attention.is_quiet(self.run_queue.turns())
    }

    /// Returns the green thread that runs next. Polls and waits as the OS thread, and allocates as that,
    /// because `me` may have parked inside of the allocator. So the thread pointer may be that of the OS
    /// thread afterwards.
    #[inline(never)]
    fn next_with_identity(&self) -> GreenRef {
        if self.is_quiet_turn()
            && let Some(next) = self.run_queue.pop()
        {
            return next;
        }
        self.enter_os_thread();
        self.maintenance();
        self.pop_or_idle_apart()
    }

    /// In a function of its own, which computes its own addresses of thread locals
    /// ([no-tls-across-a-change]).
    #[inline(never)]
    fn pop_or_idle_apart(&self) -> GreenRef {
        self.pop_or_idle()
    }

    /// Switches from `me`, which has an identity. Returns when `me` is continued.
    #[inline(never)]
    pub(super) fn switch_from_identity(&self, me: GreenRef, next: GreenRef) {
        end_turn(me);
        self.prepare_to_leave_identity(next);
        let me = self.switch(me, next);
        self.enter_identity(me);
    }

    /// Sets the thread pointer for `next`, if that cannot do it.
    #[inline(never)]
    fn prepare_to_leave_identity(&self, next: GreenRef) {
        if next.pthread.get().is_none() {
            self.enter_os_thread();
            self.attention.clear(AttentionBit::Identity);
        }
    }

    #[inline(never)]
    fn enter_os_thread(&self) {
        // SAFETY: this code runs on that OS thread, and uses no thread local.
        unsafe { self.thread_pointer.set() };
    }

    /// Continues under the identity of `me`.
    #[inline(never)]
    fn enter_identity(&self, me: GreenRef) {
        if let Some(identity) = me.pthread.get() {
            // SAFETY: the identity is that of the running green thread, and belongs to this OS thread
            // alone. This function uses no thread local.
            unsafe { identity.thread_pointer().set() };
            identity.begin_turn();
        }
        self.attention.set(AttentionBit::Identity);
    }

    /// Ends `me`, the running green thread, like `end`. The last switch is left to the caller.
    #[inline(never)]
    fn end_with_identity(&self, me: GreenRef) -> GreenRef {
        loop {
            end_cold(me);
            drop_thread_locals(me);
            if me.cold().is_none() {
                break;
            }
        }
        if let Some(identity) = me.pthread.get() {
            // SAFETY: its destructors have just run, and no code of the program is left on the stack.
            unsafe { identity.renew() };
        }
        self.enter_os_thread();
        self.retire_with_identity(me)
    }

    /// Ends `me`, whose identity is renewed, and returns the green thread that runs next. Runs as the OS
    /// thread, because an allocator would begin to keep a state for the identity again.
    #[inline(never)]
    fn retire_with_identity(&self, me: GreenRef) -> GreenRef {
        end_turn(me);
        self.retire(me);
        // This may wait, on this very stack.
        let next = self.next_with_identity();
        self.threads.free_with_identity(me);
        self.prepare_to_leave_identity(next);
        next
    }
}

/// Says that `me`, which has an identity, does not run any more.
#[inline]
fn end_turn(me: GreenRef) {
    if let Some(identity) = me.pthread.get() {
        identity.end_turn();
    }
}

/// Returns the address below which the frames of `green` lie.
fn base_of(green: GreenRef) -> *mut u8 {
    let identity = green.pthread.get();
    identity.map_or(ptr::null_mut(), PthreadIdentity::base)
}

/// Returns where the closure lies on a stack whose frames begin below `base`. It is also the beginning
/// of the frames, which must be aligned to 16.
pub(super) fn place_below<F>(base: *mut u8) -> *mut F {
    let align = align_of::<F>().max(16);
    let below = base.wrapping_sub(size_of::<F>());
    below.wrapping_sub(below.addr() % align).cast()
}

/// The function in which every green thread with an identity begins and ends.
pub(super) unsafe extern "C" fn entry<F: FnOnce() + 'static>(green: *mut ()) -> ! {
    // SAFETY: the argument is the one that `spawn::prepare` stored: the control block of the green thread
    // that runs here.
    let me = unsafe { GreenRef::new(NonNull::new_unchecked(green.cast::<GreenThread>())) };
    // SAFETY: a scheduler outlives its green threads.
    let scheduler = unsafe { &*me.scheduler.cast::<Scheduler>() };
    scheduler.enter_identity(me);
    run::<F>(scheduler, me);
    let next = scheduler.end_with_identity(me);
    let _never = scheduler.switch(me, next);
    unreachable!("a green thread that has ended is never continued")
}

/// Runs the closure, in a function that computes its own addresses of thread locals.
#[inline(never)]
fn run<F: FnOnce() + 'static>(scheduler: &Scheduler, me: GreenRef) {
    scheduler.run_closure(me, || {
        // SAFETY: `spawn::prepare` has written the closure there, and it is read only this once.
        unsafe { place_below::<F>(base_of(me)).read() }
    });
}
