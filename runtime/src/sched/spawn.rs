//! Spawn, first run, end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use super::Scheduler;
use crate::context;
use crate::green::{GreenRef, GreenThread, Identity, SpawnSite, State, Wake, closure_below};
use crate::stack;

/// What a spawn may choose.
#[derive(Debug)]
pub(crate) struct SpawnOptions {
    pub(crate) name: Option<Box<str>>,
    pub(crate) stack_size: usize,
    pub(crate) site: SpawnSite,
}

impl SpawnOptions {
    #[inline]
    pub(crate) fn new(site: SpawnSite) -> Self {
        Self {
            name: None,
            stack_size: stack::DEFAULT_SIZE,
            site,
        }
    }
}

/// Returns what was spawned, or panics if there was no memory for a stack.
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
    /// Makes a green thread that will run `f`, and queues it unless it is to be started later by
    /// its timer.
    ///
    /// A panic of `f` ends here, in the green thread. If it is killed before it starts, `f` is
    /// dropped on its own stack.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` or what the system says, where no stack can be had.
    #[inline]
    pub(crate) fn spawn<F: FnOnce() + 'static>(
        &self,
        options: SpawnOptions,
        start: Option<std::time::Instant>,
        f: F,
    ) -> io::Result<GreenRef> {
        let scheduler = ptr::from_ref(self).cast::<()>();
        let green = self.threads.allocate(options.stack_size, scheduler)?;
        green.reinit(Identity {
            id: self.next_id(),
            parent: self.running().id(),
            site: options.site,
        });
        green.set_name(options.name);
        match closure_below::<F>(green.as_ptr()) {
            // SAFETY: the place is on the stack of a green thread that does not run yet.
            Some(place) => unsafe { prepare(green, place, f) },
            None => {
                let f = Box::new(f);
                let place = closure_below(green.as_ptr()).expect("a box is small");
                // SAFETY: as above.
                unsafe { prepare(green, place, f) };
            }
        }
        match start {
            None => self.make_ready(green, Wake::Unparked),
            Some(start) => self.timers.set(green, start),
        }
        Ok(green)
    }

    /// The end of the running green thread, and who goes on: its stack is to be left for good.
    fn end(&self, me: GreenRef) -> GreenRef {
        if me.cold().is_some() {
            end_cold(me);
        }
        me.detach_remote_handle();
        me.state.set(State::Done);
        if let Some(exit_waiter) = self.exit_waiter.get() {
            self.unpark(exit_waiter, Wake::Unparked);
        }
        // May wait, on this very stack.
        let next = self.next();
        // Last, since the stack that this runs on goes with it: nothing is spawned before the switch,
        // so nobody gets it before it is left.
        self.threads.free(me);
        next
    }
}

/// Places the closure of a green thread, and has it begin there.
///
/// # Safety
///
/// `place` is where [`closure_below`] says, and `green` does not run yet.
#[inline(always)]
unsafe fn prepare<F: FnOnce() + 'static>(green: GreenRef, place: *mut F, f: F) {
    let limit = green
        .stack
        .as_ref()
        .map_or(ptr::null_mut(), stack::Stack::limit);
    // SAFETY:
    // - the place is aligned, inside the stack and below the control block (caller);
    // - the context lies in the control block, which stays there, and was left for good, if it was
    //   ever used; what lies below the closure is unused.
    unsafe {
        place.write(f);
        context::prepare(
            green.context(),
            place.cast(),
            limit,
            entry::<F>,
            green.as_ptr().cast(),
        );
    }
}

/// Where every green thread begins and ends.
unsafe extern "C" fn entry<F: FnOnce() + 'static>(green: *mut ()) -> ! {
    let block = green.cast::<GreenThread>();
    // SAFETY: the argument that `spawn` gave: the control block of the green thread that runs here.
    let me = unsafe { GreenRef::new(NonNull::new_unchecked(block)) };
    // SAFETY: a scheduler outlives its green threads.
    let scheduler = unsafe { &*me.scheduler.cast::<Scheduler>() };
    me.started.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let closure = closure_below::<F>(block).expect("it was placed there");
        // SAFETY: written there by `prepare`, and read this once.
        let f = unsafe { closure.read() };
        if !me.killed.get() {
            f();
        }
    }));
    if let Err(payload) = outcome {
        forget_panics(|| drop(payload));
    }
    // Left from here, and not from a function that would never return: each such call shifts what the
    // return predictor knows.
    let next = scheduler.end(me);
    let _never = scheduler.switch(me, next);
    unreachable!("a green thread that has ended is never continued")
}

/// Drops the locals of the running green thread, then calls what was to be called at its end, first
/// come first, also what those calls add. A kill does not tear them.
#[cold]
pub(crate) fn run_exit_hooks(me: GreenRef) {
    me.shields.set(me.shields.get() + 1);
    let cold = me.cold_or_init();
    cold.drop_locals();
    // One by one: each may add some, and take back those behind it.
    let next = || cold.on_exit.borrow_mut().pop_front();
    while let Some((_, call)) = next() {
        forget_panics(call);
    }
}

/// The end of what it rarely has: what is to be called is called, the rest dropped. A destructor may
/// make it anew, which ends likewise.
#[cold]
#[inline(never)]
fn end_cold(me: GreenRef) {
    while me.cold().is_some() {
        run_exit_hooks(me);
        // SAFETY: nobody else has a reference into it: they last no longer than a look at it.
        let cold = unsafe { me.take_cold() };
        forget_panics(|| drop(cold));
    }
}

/// A panic of `f` has been reported by the hook; it must not take the thread with it, nor must a
/// second one, of the first one's payload when it is dropped.
fn forget_panics(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        std::mem::forget(payload);
    }
}
