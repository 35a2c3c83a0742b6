//! Park, unpark and yield: all switches except the last one of a green thread (`spawn.rs`).
//!
//! `park -> next -> switch` and `yield_now -> rotate -> switch` are inlined completely into the
//! function that parks. If the switch were out of line, the return after it would go to a different
//! caller than the processor has predicted. That costs more than everything else here. Rarely
//! needed code is `#[cold]`.

use std::io::Write;
use std::ptr;

use super::Scheduler;
use super::attention::AttentionBit;
use crate::context;
use crate::green::{GreenRef, State, WaitReason, Wake};
use crate::unhooked::unhooked;

impl Scheduler {
    /// Parks the running green thread, `me`, until it is unparked, and returns what ended the wait.
    ///
    /// The caller has set the reason of the wait. It must not call this inside `no_park`; see
    /// [`Self::check_may_park`].
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
            // The running green thread is ready, so none of these occurs.
            State::New | State::Parked | State::Done => Wake::Unparked,
        }
    }

    /// Lets every other ready green thread run, as if the wait of `me` had begun and its deadline had
    /// passed at once. Returns what ended the wait.
    #[cold]
    pub(crate) fn step_aside(&self, me: GreenRef) -> Wake {
        me.state.set(State::Ready(Wake::TimedOut));
        self.yield_now();
        match me.state.get() {
            State::Ready(wake) => wake,
            State::New | State::Parked | State::Done => Wake::TimedOut,
        }
    }

    /// Lets every other ready green thread run before the running one continues. Returns the
    /// running one.
    ///
    /// Must not be called inside `no_park`.
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

    /// Ends the wait of a parked green thread. Returns `false` if it was not parked.
    #[inline]
    pub(crate) fn unpark(&self, green: GreenRef, wake: Wake) -> bool {
        // A green thread that was abandoned at the end of its OS thread stays where it is. That
        // holds even if the destructor of some thread local has created another scheduler
        // meanwhile.
        let own = ptr::eq(green.scheduler, ptr::from_ref(self).cast());
        if !own {
            return false;
        }
        if green.state.get() != State::Parked {
            if green.state.get() == State::Ready(Wake::TimedOut) && wake == Wake::Unparked {
                // Its deadline passed first, but what it waits for has happened before it runs.
                green.state.set(State::Ready(wake));
            }
            return false;
        }
        self.timers.cancel(green);
        self.make_ready(green, wake);
        true
    }

    /// Called when a panic has been caught. If std knows of no other one, the green threads that are
    /// recorded as parked in the middle of unwinding have caught their panics themselves. They are
    /// woken, to check again.
    #[cold]
    #[expect(
        clippy::disallowed_methods,
        reason = "std knows whether any panic is in progress on this OS thread"
    )]
    pub(crate) fn end_unwinding(&self) {
        if self.unwinding.get() == 0 || std::thread::panicking() {
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

    /// Runs `victim`, which is ready, new or parked, at once and up to where it stops. The caller
    /// continues before any other green thread.
    ///
    /// # Panics
    ///
    /// Panics inside `no_park`.
    pub(crate) fn run_now(&self, victim: GreenRef, wake: Wake) {
        self.check_may_park(WaitReason::Other("its next turn"));
        let me = self.running();
        match victim.state.get() {
            State::Done => return,
            State::Ready(_) if victim == me => return,
            State::Ready(_) => {
                self.run_queue.remove(victim);
                if self.run_queue.has_holes() {
                    self.attention.set(AttentionBit::Holes);
                }
            }
            State::New | State::Parked => {
                self.timers.cancel(victim);
                victim.state.set(State::Ready(wake));
            }
        }
        self.run_queue.push_front(me);
        self.publish_running(Some(victim));
        match me.pthread.get() {
            None => drop(self.switch(me, victim)),
            Some(_) => self.switch_from_identity(me, victim),
        }
    }

    /// Checks that parking is not forbidden by `no_park`.
    ///
    /// `no_park` is for panic hooks, so a caller that knows that this OS thread is not panicking
    /// does not have to check.
    ///
    /// # Panics
    ///
    /// Panics inside `no_park`.
    #[cold]
    pub(crate) fn check_may_park(&self, reason: WaitReason) {
        if self.no_park.get() == 0 {
            return;
        }
        // The message is printed here, because a panic in a panic hook aborts and std does not
        // format its message.
        writeln!(
            std::io::stderr(),
            "evy: a green thread tried to park in a panic hook, where parking is not allowed (it would wait for {reason})"
        )
        .ok();
        panic!("a green thread tried to park where parking is not allowed")
    }

    /// Returns the green thread that runs after the one that stops here. Waits until one is ready.
    #[inline(always)]
    pub(super) fn next(&self) -> GreenRef {
        if self.needs_maintenance() {
            return self.next_after_maintenance();
        }
        self.pop_or_idle()
    }

    /// Returns the next green thread like [`Self::next`]. If the running one has an identity, it is
    /// left and continued here, and returned.
    #[cold]
    #[inline(never)]
    fn next_after_maintenance(&self) -> GreenRef {
        let me = self.running();
        if me.pthread.get().is_some() {
            self.park_with_identity(me);
            return me;
        }
        self.maintenance();
        self.pop_or_idle()
    }

    #[inline(always)]
    pub(super) fn pop_or_idle(&self) -> GreenRef {
        match self.run_queue.pop() {
            Some(green) => green,
            None => unhooked(|| self.idle()),
        }
    }

    #[inline(always)]
    fn needs_maintenance(&self) -> bool {
        self.attention.needs_maintenance(self.run_queue.turns())
    }

    /// Switches from `me` to `next`. Returns `me` when it is continued.
    ///
    /// The caller has stored `me` wherever it is to be found again.
    #[inline(always)]
    pub(super) fn switch(&self, me: GreenRef, next: GreenRef) -> GreenRef {
        debug_assert!(next != me);
        self.running.set(next.as_non_null());
        // SAFETY:
        // - `next` was ready, so its context is prepared or suspended;
        // - `next` belongs to this OS thread ([no-migration]);
        // - `me` was running, so this is its own context ([one-runs]).
        let own = unsafe { context::switch(me.context(), next.context()) };
        // SAFETY: this is the context of `me`, which runs again ([one-runs]).
        unsafe { GreenRef::of_context(own) }
    }
}
