//! Spawn, first run, end, and reuse of the stack.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use super::{Scheduler, next_id};
use crate::context;
use crate::green::{
    GreenRef, GreenThread, MAX_INLINE_CLOSURE, Site, State, WaitReason, Wake, place,
};
use crate::stack;

/// What a spawn may choose.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) name: Option<Box<str>>,
    pub(crate) stack_size: usize,
    pub(crate) site: Site,
}

impl Options {
    #[inline]
    pub(crate) fn new(site: Site) -> Self {
        Self {
            name: None,
            stack_size: stack::DEFAULT_SIZE,
            site,
        }
    }
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
        options: Options,
        start: Option<std::time::Instant>,
        f: F,
    ) -> io::Result<GreenRef> {
        if size_of::<F>() > MAX_INLINE_CLOSURE {
            let boxed = Box::new(f);
            return self.spawn_placed(options, start, boxed);
        }
        self.spawn_placed(options, start, f)
    }

    #[inline]
    fn spawn_placed<F: FnOnce() + 'static>(
        &self,
        options: Options,
        start: Option<std::time::Instant>,
        f: F,
    ) -> io::Result<GreenRef> {
        let stack = self.stacks.take(options.stack_size)?;
        let (block, closure, base) = place(stack.base(), size_of::<F>(), align_of::<F>());
        let limit = stack.limit();
        let scheduler = ptr::from_ref(self).cast::<()>();
        let mut green = GreenThread::new(scheduler, next_id(), self.running().id, options.site);
        green.set_name(options.name);
        green.stack = Some(stack);
        let block = NonNull::new(block).expect("a stack has an address");
        // SAFETY:
        // - `place` gives aligned, disjoint room inside a stack that is ours alone;
        // - the control block stays there until `reclaim`.
        let green = unsafe {
            block.write(green);
            GreenThread::pin(block);
            closure.cast::<F>().write(f);
            GreenRef::new(block)
        };
        // SAFETY: the context lies in the pinned control block, and everything of the stack below
        // `base` is unused.
        unsafe {
            context::prepare(
                green.context(),
                base,
                limit,
                entry::<F>,
                green.as_ptr().cast(),
            );
        }
        // SAFETY: unlinked in `end`, before the control block goes.
        unsafe { self.live.push_back(NonNull::from(&green.registered)) };
        match start {
            None => self.make_ready(green),
            Some(start) => self.timers.set(green, start),
        }
        Ok(green)
    }

    /// The end of the running green thread. Its stack is left for good.
    fn end(&self, me: GreenRef) -> ! {
        me.drop_locals();
        run_exit_calls(me);
        me.reason.set(WaitReason::Start);
        if let Some(handle) = me.handle.get() {
            handle.forget_green();
        }
        // SAFETY: linked in `spawn`, in this list.
        unsafe { self.live.remove(NonNull::from(&me.registered)) };
        me.state.set(State::Done);
        if let Some(watcher) = self.watcher.get() {
            self.unpark(watcher, Wake::Unparked);
        }
        let next = self.next();
        // Set last: `next` may wait on this very stack, but switches to nobody.
        self.departed.set(me.as_ptr());
        self.switch(me, next);
        unreachable!("a green thread that has ended is never continued")
    }

    /// Gives back the stack of the green thread that has just been left for good.
    #[cold]
    #[inline(never)]
    pub(super) fn reclaim(&self) {
        let departed = self.departed.replace(ptr::null_mut());
        // SAFETY: set by `end` of a green thread that has switched away since, to us: nothing runs
        // on its stack, and its control block is still there. The stack is taken out before the
        // rest is dropped, and is used by nobody afterwards.
        unsafe {
            context::release((*departed).context.get());
            let stack = (*departed).stack.take();
            departed.drop_in_place();
            if let Some(stack) = stack {
                self.stacks.give_back(stack);
            }
        }
    }
}

/// Where every green thread begins and ends.
unsafe extern "C" fn entry<F: FnOnce() + 'static>(green: *mut ()) -> ! {
    let block = green.cast::<GreenThread>();
    // SAFETY: the argument that `spawn` gave: the control block of the green thread that runs here.
    let me = unsafe { GreenRef::new(NonNull::new_unchecked(block)) };
    // SAFETY: a scheduler outlives its green threads.
    let scheduler = unsafe { &*me.scheduler.cast::<Scheduler>() };
    scheduler.reclaim_departed();
    me.started.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (_, closure, _) = place(top(me), size_of::<F>(), align_of::<F>());
        // SAFETY: written there by `spawn`, and read this once.
        let f = unsafe { closure.cast::<F>().read() };
        if !me.killed.get() {
            f();
        }
    }));
    if let Err(payload) = outcome {
        forget_panics(|| drop(payload));
    }
    scheduler.end(me)
}

/// Where `place` began for this green thread.
fn top(me: GreenRef) -> *mut u8 {
    me.stack
        .as_ref()
        .expect("only the root has no stack of its own")
        .base()
}

/// Calls what was to be called at the end, first come first, also what those calls add.
fn run_exit_calls(me: GreenRef) {
    let Some(rare) = me.if_rare() else { return };
    loop {
        let calls = rare.on_exit.take();
        if calls.is_empty() {
            return;
        }
        for (_, call) in calls {
            forget_panics(call);
        }
    }
}

/// A panic of `f` has been reported by the hook; it must not take the thread with it, nor must a
/// second one, of the first one's payload when it is dropped.
fn forget_panics(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        std::mem::forget(payload);
    }
}
