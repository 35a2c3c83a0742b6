//! Nothing is ready: descriptors, timers, other OS threads, or nobody ever.

use std::io::Write;
use std::sync::Arc;

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
            let first = self.timers.first();
            let is_alone = self.reactor.waiting() == 0 && self.inbox.mailbox.is_forsaken();
            match first {
                None if is_alone && self.shared_waits.get() == 0 => {
                    self.stall();
                    continue;
                }
                Some(first) if is_alone && self.clock.is_held() => {
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
            self.poll(timeout);
            if !self.timers.is_empty() {
                self.expire_timers();
            }
        }
    }

    /// A look at everything that could make somebody ready, without waiting: those who yield must
    /// not starve those who wait. `otherwise` goes on where nobody is ready even then.
    #[cold]
    #[inline(never)]
    pub(super) fn look_around(&self, otherwise: Option<GreenRef>) {
        if self.is_look_due() {
            self.look();
        }
        self.draw();
        if let Some(next) = self.run_queue.first().or(otherwise) {
            self.write_run(Some(next));
        }
    }

    fn look(&self) {
        self.drain_inbox();
        // Whoever waits under a timeout may be ready just now, and without a timer. If data keep
        // coming, so it may be at every look.
        let is_time_wanted = self.time_wanted.take();
        if self.reactor.waiting() > 0 {
            self.poll(Some(std::time::Duration::ZERO));
        }
        if is_time_wanted || !self.timers.is_empty() {
            self.expire_timers();
        }
    }

    /// Wakes whoever has something to read or write, or was sent something; waits for it at most
    /// `timeout`.
    fn poll(&self, timeout: Option<std::time::Duration>) {
        let mut due = self.due.borrow_mut();
        let polled = self
            .clock
            .in_real_time(|| self.reactor.poll(timeout, &mut due));
        if let Err(error) = polled {
            // Without a poller no wait would ever end. A panic here would unwind whoever happens
            // to drive it, out of waits that nothing may unwind (`thread::scoped`).
            writeln!(
                std::io::stderr(),
                "evy: the poller of this OS thread has failed: {error}"
            )
            .ok();
            std::process::abort();
        }
        for green in &*due {
            self.unpark(*green, Wake::Unparked);
        }
        due.clear();
        drop(due);
        self.drain_inbox();
    }

    pub(super) fn expire_timers(&self) {
        let now = self.clock.now();
        self.looked_at.set(now);
        while let Some(green) = self.timers.pop_due(now) {
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
