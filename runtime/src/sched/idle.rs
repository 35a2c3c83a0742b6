//! Nothing is ready: descriptors, timers, other OS threads, or nobody ever.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use crate::green::{GreenRef, State, WaitReason, Wake};
use crate::inbox::Handle;

impl Scheduler {
    /// Waits until a green thread is ready, on the stack of the one that has just stopped.
    ///
    /// Descriptors are looked at before the clock: where data and a deadline are both due, the data
    /// is delivered.
    #[cold]
    #[inline(never)]
    pub(super) fn idle(&self) -> GreenRef {
        self.drain_inbox();
        loop {
            self.draw();
            if let Some(next) = self.run_queue.pop() {
                self.write_run(Some(next));
                return next;
            }
            self.write_run(None);
            let first = self.timers.next_deadline();
            let is_alone = self.reactor.waiting() == 0 && self.inbox.mailbox.is_forsaken();
            match first {
                None if is_alone && self.shared_waits.get() == 0 => {
                    self.stall();
                    continue;
                }
                Some(first) if is_alone && self.clock.is_paused() => {
                    self.clock.advance_to(first);
                    self.expire_timers();
                    continue;
                }
                _ => {}
            }
            let timeout = first.map(|first| {
                self.looked_at.set(self.clock.now());
                first.saturating_duration_since(self.looked_at.get())
            });
            if timeout.is_none_or(|timeout| !timeout.is_zero()) {
                self.roster.trim();
            }
            let is_full = self.poll(timeout);
            if !self.timers.is_empty() {
                self.expire_timers_after(is_full);
            }
        }
    }

    /// A look at everything that could make somebody ready, without waiting: those who yield must
    /// not starve those who wait.
    #[cold]
    #[inline(never)]
    pub(super) fn look_around(&self) {
        if self.is_look_due() {
            self.look();
        }
        self.draw();
        if let Some(next) = self.run_queue.first() {
            self.write_run(Some(next));
        }
    }

    /// A look around before `me` yields, and who is next: `None` if `me` is. Where lots are drawn, it
    /// may be.
    #[cold]
    #[inline(never)]
    pub(super) fn look_and_rotate(&self, me: GreenRef) -> Option<GreenRef> {
        self.run_queue.push(me);
        self.look_around();
        self.run_queue.pop().filter(|next| *next != me)
    }

    fn look(&self) {
        self.drain_inbox();
        // Whoever waits under a timeout may be ready just now, and without a timer. If data keep
        // coming, so it may be at every look.
        let is_time_wanted = self.time_wanted.take();
        let is_full = self.reactor.waiting() > 0 && self.poll(Some(Duration::ZERO));
        if is_time_wanted || !self.timers.is_empty() {
            self.expire_timers_after(is_full);
        }
    }

    /// Wakes whoever has something to read or write, or was sent something; waits for it at most
    /// `timeout`. `true`: there may be more.
    fn poll(&self, timeout: Option<Duration>) -> bool {
        let mut due = self.due.borrow_mut();
        let polled = self
            .clock
            .advance_by_elapsed(|| self.reactor.poll(timeout, &mut due));
        let is_full = polled.unwrap_or_else(|error| {
            // Without a poller no wait would ever end. A panic here would unwind whoever happens
            // to drive it, out of waits that nothing may unwind (`thread::scoped`).
            writeln!(
                std::io::stderr(),
                "evy: the poller of this OS thread has failed: {error}"
            )
            .ok();
            std::process::abort();
        });
        for green in &*due {
            self.unpark(*green, Wake::Unparked);
        }
        due.clear();
        drop(due);
        self.drain_inbox();
        is_full
    }

    /// Ends the waits whose deadline has come, after a round that may have been full. Data wins over a
    /// deadline: if one is due, what else is ready is looked at first, so often that each descriptor
    /// may have been reported once.
    fn expire_timers_after(&self, mut is_full: bool) {
        let is_due = || {
            self.timers
                .next_deadline()
                .is_some_and(|first| first <= self.clock.now())
        };
        let mut left = self.reactor.most();
        while is_full && left > 0 && is_due() {
            is_full = self.poll(Some(Duration::ZERO));
            left = left.saturating_sub(crate::reactor::ROUND);
        }
        self.expire_timers();
    }

    pub(super) fn expire_timers(&self) {
        let now = self.clock.now();
        self.looked_at.set(now);
        while let Some(green) = self.timers.pop_expired(now) {
            match green.state.get() {
                State::New => self.make_ready(green, Wake::Unparked),
                _ => drop(self.unpark(green, Wake::TimedOut)),
            }
        }
    }

    #[inline]
    fn drain_inbox(&self) {
        if let Some(handles) = self.inbox.mailbox.take() {
            self.deliver(handles);
        }
    }

    #[cold]
    #[inline(never)]
    fn deliver(&self, handles: Vec<Arc<Handle>>) {
        for handle in handles {
            // SAFETY: a scheduler runs on the OS thread that owns it.
            let Some(green) = (unsafe { handle.green() }) else {
                continue;
            };
            if handle.take_token() {
                self.give_token(green);
            } else {
                // Every wait looks whether it was meant.
                self.unpark(green, Wake::Unparked);
            }
        }
    }

    /// `thread::unpark`: ends `thread::park`, the current one or the next.
    pub(crate) fn give_token(&self, green: GreenRef) {
        green.token.set(true);
        if green.reason.get() == WaitReason::Park {
            self.unpark(green, Wake::Unparked);
        }
    }

    /// Every green thread is parked, and nothing is left that could wake one. The root is told,
    /// since somebody must be.
    fn stall(&self) {
        let root = self.root();
        if !root.is_interruptible() {
            // The root unwinds already, or must wait for others: a panic there would not arrive.
            writeln!(std::io::stderr(), "evy: {}", self.stall_report()).ok();
            std::process::abort();
        }
        self.unpark(root, Wake::Stalled);
    }
}
