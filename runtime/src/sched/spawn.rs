//! A green thread's spawn, its first run, and its end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use super::{Scheduler, identity};
use crate::context;
use crate::green::{
    GreenRef, GreenThread, Identity, SpawnSite, State, Wake, closure_below, fits_on_stack,
};
use crate::stack::{self, StackRequest};

/// The options of a spawn.
#[derive(Debug)]
pub(crate) struct SpawnOptions {
    pub(crate) name: Option<Box<str>>,
    pub(crate) stack: StackRequest,
    pub(crate) site: SpawnSite,
}

impl SpawnOptions {
    #[inline]
    pub(crate) fn new(site: SpawnSite) -> Self {
        Self {
            name: None,
            stack: StackRequest::DEFAULT,
            site,
        }
    }
}

/// Unwraps the result of a spawn.
///
/// # Panics
///
/// Panics if no stack can be allocated.
#[inline]
#[track_caller]
pub(crate) fn unwrap_spawn<T>(spawned: io::Result<T>) -> T {
    match spawned {
        Ok(spawned) => spawned,
        Err(error) => spawn_failed(&error),
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn spawn_failed(error: &io::Error) -> ! {
    panic!("cannot spawn a green thread: {error}")
}

impl Scheduler {
    /// Creates a green thread that will run `f`. It is queued at once, or by its timer at `start`.
    ///
    /// A panic of `f` does not leave the green thread. If the green thread is killed before it
    /// starts, `f` is dropped on the green thread's own stack.
    ///
    /// # Errors
    ///
    /// Returns `OutOfMemory`, or the error of the system, if no stack can be allocated.
    #[inline]
    pub(crate) fn spawn<F: FnOnce() + 'static>(
        &self,
        options: SpawnOptions,
        start: Option<std::time::Instant>,
        f: F,
    ) -> io::Result<GreenRef> {
        if !fits_on_stack::<F>() {
            // Called through the pointer, a closure is not moved out of its box onto the stack. It is
            // boxed here, before it is passed on, because each function may copy it to its own frame.
            let f: Box<dyn FnOnce()> = Box::new(f);
            return self.spawn_small(options, start, f);
        }
        self.spawn_small(options, start, f)
    }

    /// Creates a green thread like [`Self::spawn`], with a closure that fits on its stack.
    #[inline]
    fn spawn_small<F: FnOnce() + 'static>(
        &self,
        options: SpawnOptions,
        start: Option<std::time::Instant>,
        f: F,
    ) -> io::Result<GreenRef> {
        if let Some(green) = self.threads.allocate_warm(options.stack) {
            self.place(green, options, start, f);
            return Ok(green);
        }
        self.spawn_slow(options, start, f)
    }

    /// Creates a green thread like [`Self::spawn`], whose stack is not at hand.
    #[cold]
    #[inline(never)]
    fn spawn_slow<F: FnOnce() + 'static>(
        &self,
        options: SpawnOptions,
        start: Option<std::time::Instant>,
        f: F,
    ) -> io::Result<GreenRef> {
        if identity::is_wanted(&options) {
            let mut f = Some(f);
            return self.spawn_with_identity(options, start, &mut |green, base| {
                if let Some(f) = f.take() {
                    // SAFETY: `spawn_with_identity` calls this with the base of a new identity.
                    unsafe { prepare(green, identity::place_below(base), identity::entry::<F>, f) };
                }
            });
        }
        let scheduler = ptr::from_ref(self).cast::<()>();
        let green = self.threads.allocate(options.stack.size(), scheduler)?;
        self.place(green, options, start, f);
        Ok(green)
    }

    /// Turns a free control block without an identity into a green thread that will run `f`.
    #[inline(always)]
    fn place<F: FnOnce() + 'static>(
        &self,
        green: GreenRef,
        options: SpawnOptions,
        start: Option<std::time::Instant>,
        f: F,
    ) {
        self.init(green, options, start, || {
            let place = closure_below(green.as_ptr()).expect("`spawn` has checked that it fits");
            // SAFETY: `place` is on the stack of a green thread that does not run yet.
            unsafe { prepare(green, place, entry::<F>, f) };
        });
    }

    /// Turns a free control block into a green thread, whose context `prepare` prepares, and queues it,
    /// at once or by its timer at `start`.
    #[inline(always)]
    pub(super) fn init(
        &self,
        green: GreenRef,
        options: SpawnOptions,
        start: Option<std::time::Instant>,
        prepare: impl FnOnce(),
    ) {
        green.reinit(Identity {
            id: self.next_id(),
            parent: self.running().id(),
            site: options.site,
        });
        green.set_name(options.name);
        prepare();
        match start {
            None => self.make_ready(green, Wake::Unparked),
            Some(start) => self.timers.set(green, start),
        }
    }

    /// Ends the running green thread, `me`, and returns the one that runs next. The caller must
    /// switch to it, which discards the computation on this stack.
    fn end(&self, me: GreenRef) -> GreenRef {
        if me.cold().is_some() {
            end_cold(me);
        }
        self.retire(me);
        // This may wait, on this very stack.
        let next = self.next();
        // This is the last step, because it frees the stack that this function runs on. Nothing is
        // spawned before the switch, so the stack has been left before a spawn can reuse it.
        self.threads.free(me);
        next
    }

    /// Runs the closure of `me`, the running green thread, which `take` takes from its stack. If `me` was
    /// killed before, the closure is only dropped.
    #[inline(always)]
    pub(super) fn run_closure<F: FnOnce()>(&self, me: GreenRef, take: impl FnOnce() -> F) {
        me.started.set(true);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let f = take();
            if !me.killed.get() {
                f();
            }
        }));
        if let Err(payload) = outcome {
            forget_panics(|| drop(payload));
            self.end_unwinding();
        }
    }

    /// Makes `me`, which runs its last steps, unreachable for others.
    #[inline(always)]
    pub(super) fn retire(&self, me: GreenRef) {
        me.detach_remote_handle();
        me.state.set(State::Done);
        if let Some(exit_waiter) = self.exit_waiter.get() {
            self.unpark(exit_waiter, Wake::Unparked);
        }
    }
}

/// Writes the closure of a green thread to its stack, and prepares the context that will run it by
/// `entry`.
///
/// # Safety
///
/// `place` is that of the closure on the stack of `green`, which does not run yet: it was returned by
/// [`closure_below`] or [`identity::place_below`]. `entry` reads the closure there.
#[inline(always)]
unsafe fn prepare<F: FnOnce() + 'static>(
    green: GreenRef,
    place: *mut F,
    entry: context::Entry,
    f: F,
) {
    let limit = green
        .stack
        .as_ref()
        .map_or(ptr::null_mut(), stack::Stack::limit);
    // SAFETY:
    // - `place` is aligned, inside the stack and below the control block (caller);
    // - the context lies in the control block, which does not move;
    // - if the context was used before, its computation was discarded;
    // - the stack below the closure is unused.
    unsafe {
        place.write(f);
        context::prepare(
            green.context(),
            place.cast(),
            limit,
            entry,
            green.as_ptr().cast(),
        );
    }
}

/// The function in which every green thread begins and ends.
unsafe extern "C" fn entry<F: FnOnce() + 'static>(green: *mut ()) -> ! {
    let block = green.cast::<GreenThread>();
    // SAFETY: the argument is the one that `prepare` stored: the control block of the green thread
    // that runs here.
    let me = unsafe { GreenRef::new(NonNull::new_unchecked(block)) };
    // SAFETY: a scheduler outlives its green threads.
    let scheduler = unsafe { &*me.scheduler.cast::<Scheduler>() };
    scheduler.run_closure(me, || {
        let closure = closure_below::<F>(block).expect("`spawn` placed the closure on this stack");
        // SAFETY: `prepare` has written the closure there, and it is read only this once.
        unsafe { closure.read() }
    });
    // The last switch is made here, and not in a function that would never return. Each call
    // without a return shifts the entries of the processor's return predictor.
    let next = scheduler.end(me);
    let _never = scheduler.switch(me, next);
    unreachable!("a green thread that has ended is never continued")
}

/// Drops the locals of the running green thread, then runs its exit hooks in FIFO order. Hooks that
/// a hook adds run too. A kill does not interrupt them.
#[cold]
pub(crate) fn run_exit_hooks(me: GreenRef) {
    me.shields.set(me.shields.get() + 1);
    let cold = me.cold_or_init();
    cold.drop_locals();
    // The hooks are taken one by one, because each may add hooks and remove later ones.
    let next = || cold.on_exit.borrow_mut().pop_first();
    while let Some((_, call)) = next() {
        forget_panics(call);
    }
}

/// Runs the exit hooks and drops the cold state. Destructors may allocate new cold state, so this
/// repeats until none is left.
#[cold]
#[inline(never)]
pub(super) fn end_cold(me: GreenRef) {
    while me.cold().is_some() {
        run_exit_hooks(me);
        // SAFETY: no other reference to the cold state exists, because each lasts for one access
        // only.
        let cold = unsafe { me.take_cold() };
        forget_panics(|| drop(cold));
    }
}

/// Runs `f` and ignores its panic, which the panic hook has reported.
///
/// The panic must not end the OS thread. The destructor of its payload could throw a second one, so
/// the payload is leaked.
fn forget_panics(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        std::mem::forget(payload);
    }
}
