//! Park, unpark, yield: all switches but the last of a green thread (`spawn.rs`).
//!
//! `park -> next -> switch` and `yield_now -> rotate -> switch` are inlined into whoever parks, all the
//! way: the return that follows a switch out of line goes to another caller than the processor has
//! predicted, which costs more than everything else here. What is rarely needed is `#[cold]`.

use std::io::Write;
use std::ptr;

use super::Scheduler;
use crate::context;
use crate::green::{GreenRef, State, WaitReason, Wake};

impl Scheduler {
    /// Stops the running green thread, `me`, which has said what for, until somebody unparks it.
    /// Inside `no_park` it must not be called: see [`Self::check_may_park`].
    #[inline(always)]
    pub(crate) fn park(&self, me: GreenRef) -> Wake {
        me.state.set(State::Parked);
        let next = self.next();
        let me = if next == me {
            me
        } else {
            self.switch(me, next)
        };
        match me.state.get() {
            State::Ready(wake) => wake,
            // It runs, so it is ready.
            State::New | State::Parked | State::Done => Wake::Unparked,
        }
    }

    /// Lets every other ready green thread run before the running one goes on, and returns that one.
    /// Not inside `no_park`.
    #[inline(always)]
    pub(crate) fn yield_now(&self) -> GreenRef {
        let me = self.running();
        let next = match self.needs_maintenance() {
            true => self.maintenance_and_rotate(me),
            false => self.run_queue.rotate(me),
        };
        match next {
            Some(next) => self.switch(me, next),
            None => me,
        }
    }

    /// Ends the wait of a parked green thread. `false`: it was not parked, and nothing happens.
    #[inline]
    pub(crate) fn unpark(&self, green: GreenRef, wake: Wake) -> bool {
        // One that was abandoned at the end of its OS thread stays where it is, also when the
        // destructor of some thread local has made another scheduler meanwhile.
        let own = ptr::eq(green.scheduler, ptr::from_ref(self).cast());
        if !own {
            return false;
        }
        if green.state.get() != State::Parked {
            if green.state.get() == State::Ready(Wake::TimedOut) && wake == Wake::Unparked {
                // Its deadline was first, but what it waits for is there when it runs.
                green.state.set(State::Ready(wake));
            }
            return false;
        }
        self.timers.cancel(green);
        self.make_ready(green, wake);
        true
    }

    /// Has all those look again that were left alone because a neighbour unwinds: nobody is parked in
    /// the middle of that any more.
    pub(crate) fn wake_deferred(&self) {
        if !self.interrupts_deferred.replace(false) {
            return;
        }
        let wake = |green: GreenRef| {
            if green.uninterruptible.get() {
                self.unpark(green, Wake::Unparked);
            }
        };
        wake(self.root());
        self.all_live().into_iter().for_each(wake);
    }

    /// Queues a green thread that is parked or new.
    #[inline]
    pub(super) fn make_ready(&self, green: GreenRef, wake: Wake) {
        green.state.set(State::Ready(wake));
        self.run_queue.push(green);
    }

    /// Runs `victim`, which is ready, new or parked, right now and up to where it stops. The caller
    /// goes on before anybody else.
    ///
    /// # Panics
    ///
    /// Inside `no_park`.
    pub(crate) fn run_now(&self, victim: GreenRef, wake: Wake) {
        self.check_may_park(WaitReason::Other("its turn"));
        let me = self.running();
        match victim.state.get() {
            State::Done => return,
            State::Ready(_) if victim == me => return,
            State::Ready(_) => self.run_queue.remove(victim),
            State::New | State::Parked => {
                self.timers.cancel(victim);
                victim.state.set(State::Ready(wake));
            }
        }
        self.run_queue.push_front(me);
        self.publish_running(Some(victim));
        let _me = self.switch(me, victim);
    }

    /// `no_park` is for panic hooks, so whoever knows that this OS thread does not panic need not ask.
    ///
    /// # Panics
    ///
    /// Inside `no_park`.
    #[cold]
    pub(crate) fn check_may_park(&self, reason: WaitReason) {
        if self.no_park.get() == 0 {
            return;
        }
        // A panic in a panic hook aborts, and std does not format its message.
        writeln!(
            std::io::stderr(),
            "evy: a green thread wanted to wait for {reason} where waiting is not allowed"
        )
        .ok();
        panic!("a green thread wanted to wait where waiting is not allowed")
    }

    /// Who is to run after the one that stops here. Waits until there is somebody.
    #[inline(always)]
    pub(super) fn next(&self) -> GreenRef {
        if self.needs_maintenance() {
            self.maintenance();
        }
        match self.run_queue.pop() {
            Some(green) => green,
            None => self.idle(),
        }
    }

    #[inline(always)]
    fn needs_maintenance(&self) -> bool {
        self.attention.needs_maintenance(self.run_queue.turns())
    }

    /// Continues `next` in place of `me`, which has been put wherever it is to be found again, and is
    /// returned when it goes on.
    #[inline(always)]
    pub(super) fn switch(&self, me: GreenRef, next: GreenRef) -> GreenRef {
        debug_assert!(next != me);
        self.running.set(next.as_non_null());
        // SAFETY:
        // - `next` was ready, so its context is prepared or suspended, and it belongs to this OS
        //   thread ([no-migration]);
        // - `me` was running, so this is its own context ([one-runs]).
        let own = unsafe { context::switch(me.context(), next.context()) };
        // SAFETY: `me` again, which runs ([one-runs]).
        unsafe { GreenRef::of_context(own) }
    }
}
