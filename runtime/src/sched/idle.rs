//! Waiting and polling: descriptors, timers, messages from other OS threads, and deadlock
//! detection.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attention::AttentionBit;
use super::{Scheduler, os_threads};
use crate::green::{GreenRef, RemoteHandle, State, WaitReason, Wake};
use crate::unhooked::unhooked;

/// The check whether there is another OS thread. A wait makes it once.
#[derive(Clone, Copy, Debug)]
enum OthersCheck {
    NotBegun,
    At(Instant),
    Done,
}

impl Scheduler {
    /// Waits until a green thread is ready, on the stack of the one that has just stopped, and
    /// returns it.
    ///
    /// Descriptors are polled before the clock is read. If data and a deadline are both due, the
    /// data is delivered.
    #[cold]
    #[inline(never)]
    pub(super) fn idle(&self) -> GreenRef {
        // Messages of other OS threads may keep the run queue from being empty here, so a poll that is
        // due comes first.
        let is_due = self.is_poll_due();
        self.end_work();
        if is_due {
            self.poll_all();
        } else {
            self.drain_mailbox();
        }
        let mut others_check = OthersCheck::NotBegun;
        loop {
            self.randomize_next();
            if let Some(next) = self.run_queue.pop() {
                self.publish_running(Some(next));
                self.begin_work();
                return next;
            }
            self.publish_running(None);
            let first = self.timers.next_deadline();
            let awaits_no_descriptor = self.reactor.waiting() == 0;
            let awaits_nothing =
                (awaits_no_descriptor && first.is_none()) || self.awaits_only_background();
            let is_disconnected = self.own_handle.mailbox.is_disconnected();
            if awaits_nothing && is_disconnected && !self.has_uncertain_waiters() {
                self.deadlock();
                continue;
            }
            if let Some(first) = first
                && awaits_no_descriptor
                && is_disconnected
                && self.clock.is_paused()
            {
                self.clock.advance_to(first);
                self.expire_timers();
                continue;
            }
            let mut timeout = first.map(|first| {
                self.last_now.set(self.clock.now());
                first.saturating_duration_since(self.last_now.get())
            });
            if awaits_nothing && self.waits_for_others() {
                let check = self.check_others(&mut others_check);
                timeout = timeout.into_iter().chain(check).min();
            }
            if timeout.is_none_or(|timeout| !timeout.is_zero()) {
                self.threads.trim();
            }
            let is_full = self.poll_events(timeout);
            if !self.timers.is_empty() {
                self.expire_timers_after(is_full);
            }
        }
    }

    /// Polls, without waiting, everything that could make a green thread ready. Green threads that
    /// only yield must not starve those that wait.
    ///
    /// Does nothing if no green thread is ready, because `idle` follows then.
    #[cold]
    #[inline(never)]
    pub(super) fn maintenance(&self) {
        self.check_not_forked();
        if self.run_queue.len() > 0 {
            unhooked(|| {
                self.poll_if_due();
                self.prepare_next();
            });
        }
    }

    fn poll_if_due(&self) {
        let is_tick_due = self.is_tick_due();
        if is_tick_due {
            self.answer_tick();
        }
        if is_tick_due || self.attention.needs_poll(self.run_queue.turns()) {
            self.poll_all();
        }
    }

    /// Whether maintenance in this turn would poll.
    fn is_poll_due(&self) -> bool {
        self.is_tick_due() || self.attention.needs_poll(self.run_queue.turns())
    }

    fn prepare_next(&self) {
        if self.attention.is_set(AttentionBit::Holes) {
            self.skip_holes();
        }
        self.randomize_next();
        if let Some(next) = self.run_queue.first() {
            self.publish_running(Some(next));
        }
    }

    /// Runs maintenance before `me` yields, and returns the green thread that runs next.
    ///
    /// Returns `None` if that is `me`. In a random order it may be, even if others are ready. A green
    /// thread that has become due is ahead of `me`, because it was due before `me` yielded.
    #[cold]
    #[inline(never)]
    pub(super) fn maintenance_and_rotate(&self, me: GreenRef) -> Option<GreenRef> {
        if me.pthread.get().is_some() {
            self.yield_with_identity(me);
            return None;
        }
        self.check_not_forked();
        unhooked(|| {
            self.poll_if_due();
            self.run_queue.push(me);
            self.prepare_next();
        });
        self.run_queue.pop().filter(|next| *next != me)
    }

    /// Skips the holes at the head of the run queue. Each counts as a turn.
    #[cold]
    fn skip_holes(&self) {
        while self.run_queue.skip_hole() {
            if self.attention.needs_poll(self.run_queue.turns()) {
                self.poll_all();
            }
        }
        if !self.run_queue.has_holes() {
            self.attention.clear(AttentionBit::Holes);
        }
    }

    #[inline]
    fn poll_all(&self) {
        self.drain_mailbox();
        // A green thread inside a timeout scope may be ready just now, and then it has no timer
        // set. If data keeps waking it, that may be so at every poll.
        let is_clock_read_requested = self.clock_read_requested.take();
        let is_full = self.reactor.waiting() > 0 && self.poll_events(Some(Duration::ZERO));
        if is_clock_read_requested || !self.timers.is_empty() {
            self.expire_timers_after(is_full);
        }
    }

    /// Wakes the green threads that wait for a ready descriptor, and those that another OS thread
    /// unparks. Waits at most `timeout` for that. Returns `true` if more descriptors may be ready.
    fn poll_events(&self, timeout: Option<Duration>) -> bool {
        let mut due = self.ready_buf.borrow_mut();
        let polled = self
            .clock
            .advance_by_elapsed(|| self.reactor.poll(timeout, &mut due));
        let is_full = polled.unwrap_or_else(|error| {
            // Without a poller no wait would ever end. A panic here would unwind the green thread
            // that happens to drive the poller, even out of a wait that nothing may unwind
            // (`thread::scoped`). So the process is aborted.
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

    /// Ends the waits that have reached their deadline, after a poll that may have been full.
    ///
    /// Data wins over a deadline. If a deadline is due, the other ready descriptors are therefore
    /// polled first, often enough for each descriptor to have been reported once.
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
                // The green thread has ended, or the handle never had one: it announces calls.
                self.take_calls(&handle);
                continue;
            };
            if handle.take_token() {
                self.give_token(green);
            } else {
                // The green thread may be in another wait by now. Every wait checks whether the
                // wake-up was meant for it.
                self.unpark(green, Wake::Unparked);
            }
        }
    }

    /// Implements `Thread::unpark`: ends the current or the next `thread::park` of `green`.
    pub(crate) fn give_token(&self, green: GreenRef) {
        green.park_token.set(true);
        if green.reason.get() == WaitReason::Park {
            self.unpark(green, Wake::Unparked);
        }
    }

    /// Whether all timers and all waits for descriptors are those of green threads in the background,
    /// which make no other one ready.
    #[inline]
    fn awaits_only_background(&self) -> bool {
        self.background.get() > 0 && self.count_background_waits()
    }

    #[cold]
    fn count_background_waits(&self) -> bool {
        // Each of them has at most one timer, and awaits at most one descriptor.
        let most = self.background.get();
        let (timers, waiting) = (self.timers.len(), self.reactor.waiting());
        if timers > most || waiting > most {
            return false;
        }
        let mut all = self.all_live();
        all.retain(|green| green.is_background.get());
        let awaits_descriptor = |green: &&GreenRef| {
            let reason = green.reason.get();
            matches!(reason, WaitReason::Readable(_) | WaitReason::Writable(_))
        };
        all.iter().filter(|green| green.timer.is_linked()).count() == timers
            && all.iter().filter(awaits_descriptor).count() == waiting
    }

    /// Whether a green thread is parked on something that is not bound to this OS thread.
    fn has_uncertain_waiters(&self) -> bool {
        self.unforeseen_waiters.get() + self.shared_waiters.get() > 0
    }

    /// Whether nothing but another OS thread could make a green thread ready: by a call of a
    /// `Remote`, or through what OS threads share. No timer and no descriptor can.
    fn waits_for_others(&self) -> bool {
        self.own_handle.has_no_senders_but_remotes() && self.unforeseen_waiters.get() == 0
    }

    /// Reports a deadlock if nothing has happened for a while, and there is no other OS thread.
    /// Returns how long to wait, if that is limited.
    #[cold]
    fn check_others(&self, check: &mut OthersCheck) -> Option<Duration> {
        let now = self.clock.now();
        let at = match *check {
            OthersCheck::NotBegun => now + os_threads::CHECK_AFTER,
            OthersCheck::At(at) => at,
            OthersCheck::Done => return None,
        };
        *check = OthersCheck::At(at);
        if at <= now {
            *check = OthersCheck::Done;
            // The order matters: an OS thread may have woken one just before it ended.
            if !os_threads::may_have_others() && self.own_handle.mailbox.is_empty() {
                self.deadlock();
            }
        }
        Some(at.saturating_duration_since(now))
    }

    /// Handles a deadlock: every green thread is parked, and nothing is left that could wake one.
    ///
    /// The root green thread is woken to report it, because some green thread must do so.
    fn deadlock(&self) {
        let root = self.root();
        if !root.is_interruptible() {
            // The root green thread is unwinding already, or must wait for others. A panic cannot
            // be delivered there.
            writeln!(std::io::stderr(), "evy: {}", self.deadlock_report()).ok();
            std::process::abort();
        }
        self.unpark(root, Wake::Deadlocked);
    }
}
