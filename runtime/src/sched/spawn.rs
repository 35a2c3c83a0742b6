//! Spawn, first run, end, and reuse of the stack.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use super::Scheduler;
use crate::context;
use crate::green::{
    GreenRef, GreenThread, Identity, MAX_INLINE_CLOSURE, Site, State, WaitReason, Wake,
    block_below, closure_below,
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
        let limit = stack.limit();
        let block = NonNull::new(block_below(stack.base())).expect("a stack has an address");
        let closure = closure_below(block.as_ptr(), size_of::<F>(), align_of::<F>());
        let identity = Identity {
            id: self.next_id(),
            parent: self.running().id,
            site: options.site,
        };
        let scheduler = ptr::from_ref(self).cast::<()>();
        // SAFETY:
        // - the places are aligned and disjoint, inside a stack that is ours alone;
        // - the control block stays there until `reclaim`.
        let green = unsafe {
            block.write(GreenThread::new(
                scheduler,
                identity,
                options.name,
                Some(stack),
            ));
            GreenThread::pin(block);
            closure.cast::<F>().write(f);
            GreenRef::new(block)
        };
        // SAFETY: the context lies in the pinned control block, and everything of the stack below
        // the closure is unused.
        unsafe {
            context::prepare(
                green.context(),
                closure,
                limit,
                entry::<F>,
                green.as_ptr().cast(),
            );
        }
        // SAFETY: unlinked in `end`, before the control block goes.
        unsafe { self.live.push_back(NonNull::from(&green.registered)) };
        self.live_count.set(self.live_count.get() + 1);
        match start {
            None => self.make_ready(green, Wake::Unparked),
            Some(start) => self.timers.set(green, start),
        }
        Ok(green)
    }

    /// The end of the running green thread. Its stack is left for good.
    fn end(&self, me: GreenRef) -> ! {
        if me.if_rare().is_some() {
            run_exit_calls(me);
        }
        me.reason.set(WaitReason::Start);
        if let Some(handle) = me.handle.get() {
            handle.forget_green();
        }
        // SAFETY: linked in `spawn`, in this list.
        unsafe { self.live.remove(NonNull::from(&me.registered)) };
        self.live_count.set(self.live_count.get() - 1);
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
        let closure = closure_below(block, size_of::<F>(), align_of::<F>());
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

/// Drops the locals of the running green thread, then calls what was to be called at its end, first
/// come first, also what those calls add. A kill does not tear them.
#[cold]
pub(crate) fn run_exit_calls(me: GreenRef) {
    me.shields.set(me.shields.get() + 1);
    let rare = me.rare();
    rare.drop_locals();
    // One by one: each may add some, and take back those behind it.
    let next = || rare.on_exit.borrow_mut().pop_front();
    while let Some((_, call)) = next() {
        forget_panics(call);
    }
}

/// A panic of `f` has been reported by the hook; it must not take the thread with it, nor must a
/// second one, of the first one's payload when it is dropped.
fn forget_panics(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        std::mem::forget(payload);
    }
}
