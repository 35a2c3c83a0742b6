//! Nothing is ready: descriptors, timers, other OS threads, or nobody ever.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use crate::green::RemoteHandle;
use crate::green::{GreenRef, State, WaitReason, Wake};

impl Scheduler {
    /// Waits until a green thread is ready, on the stack of the one that has just stopped.
    ///
    /// Descriptors are looked at before the clock: where data and a deadline are both due, the data
    /// is delivered.
    #[cold]
    #[inline(never)]
    pub(super) fn idle(&self) -> GreenRef {
        self.drain_mailbox();
        loop {
            self.randomize_next();
            if let Some(next) = self.run_queue.pop() {
                self.publish_running(Some(next));
                return next;
            }
            self.publish_running(None);
            let first = self.timers.next_deadline();
            let is_alone = self.reactor.waiting() == 0 && self.own_handle.mailbox.is_disconnected();
            match first {
                None if is_alone && self.cross_thread_waiters.get() == 0 => {
                    self.deadlock();
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
                self.last_now.set(self.clock.now());
                first.saturating_duration_since(self.last_now.get())
            });
            if timeout.is_none_or(|timeout| !timeout.is_zero()) {
                self.threads.trim();
            }
            let is_full = self.poll_events(timeout);
            if !self.timers.is_empty() {
                self.expire_timers_after(is_full);
            }
        }
    }

    /// A look at everything that could make somebody ready, without waiting: those who yield must
    /// not starve those who wait.
    #[cold]
    #[inline(never)]
    pub(super) fn maintenance(&self) {
        if self.attention.needs_poll(self.run_queue.turns()) {
            self.poll_all();
        }
        self.randomize_next();
        if let Some(next) = self.run_queue.first() {
            self.publish_running(Some(next));
        }
    }

    /// A look around before `me` yields, and who is next: `None` if `me` is. Where lots are drawn, it
    /// may be.
    #[cold]
    #[inline(never)]
    pub(super) fn maintenance_and_rotate(&self, me: GreenRef) -> Option<GreenRef> {
        self.run_queue.push(me);
        self.maintenance();
        self.run_queue.pop().filter(|next| *next != me)
    }

    fn poll_all(&self) {
        self.drain_mailbox();
        // Whoever waits under a timeout may be ready just now, and without a timer. If data keep
        // coming, so it may be at every look.
        let is_clock_read_requested = self.clock_read_requested.take();
        let is_full = self.reactor.waiting() > 0 && self.poll_events(Some(Duration::ZERO));
        if is_clock_read_requested || !self.timers.is_empty() {
            self.expire_timers_after(is_full);
        }
    }

    /// Wakes whoever has something to read or write, or was sent something; waits for it at most
    /// `timeout`. `true`: there may be more.
    fn poll_events(&self, timeout: Option<Duration>) -> bool {
        let mut due = self.ready_buf.borrow_mut();
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
        self.drain_mailbox();
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
        let mut left = self.reactor.slot_count();
        while is_full && left > 0 && is_due() {
            is_full = self.poll_events(Some(Duration::ZERO));
            left = left.saturating_sub(crate::reactor::MAX_EVENTS);
        }
        self.expire_timers();
    }

    pub(super) fn expire_timers(&self) {
        let now = self.clock.now();
        self.last_now.set(now);
        while let Some(green) = self.timers.pop_expired(now) {
            match green.state.get() {
                State::New => self.make_ready(green, Wake::Unparked),
                _ => drop(self.unpark(green, Wake::TimedOut)),
            }
        }
    }

    #[inline]
    fn drain_mailbox(&self) {
        if let Some(handles) = self.own_handle.mailbox.take() {
            self.deliver(handles);
        }
    }

    #[cold]
    #[inline(never)]
    fn deliver(&self, handles: Vec<Arc<RemoteHandle>>) {
        for handle in handles {
            let Some(green) = self.own_green(&handle) else {
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
        green.park_token.set(true);
        if green.reason.get() == WaitReason::Park {
            self.unpark(green, Wake::Unparked);
        }
    }

    /// Every green thread is parked, and nothing is left that could wake one. The root is told,
    /// since somebody must be.
    fn deadlock(&self) {
        let root = self.root();
        if !root.is_interruptible() {
            // The root unwinds already, or must wait for others: a panic there would not arrive.
            writeln!(std::io::stderr(), "evy: {}", self.deadlock_report()).ok();
            std::process::abort();
        }
        self.unpark(root, Wake::Deadlocked);
    }
}
