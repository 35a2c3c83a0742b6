//! Fairness by time: a green thread that becomes due is made ready within 10 ms, or at the end of
//! the stretch of the running green thread between two calls of evy.
//!
//! A stretch of work begins when `idle` returns a green thread. Everything that was due has been
//! polled then. From there on the time must be watched, and there are two ways to do that:
//!
//! - If the ticker is awake, the scheduler declares itself busy, and relies on the ticks.
//! - Otherwise each turn and each operation reads the clock. That costs more, but it happens only
//!   in a program that is idle for most of the time. After [`WARM_UP`] the ticker is woken.
//!
//! Tests with a random order or a paused clock have neither, because both depend on real time.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use super::attention::AttentionBit;
use super::{Scheduler, ticker};

/// The time after which a stretch of work is worth a ticker.
const WARM_UP: Duration = Duration::from_millis(1);

impl Scheduler {
    /// Begins a stretch of work, before a green thread runs that `idle` has found.
    #[inline]
    pub(super) fn begin_work(&self) {
        if self.is_time_simulated() {
            return;
        }
        // The ticker reads in the other order, so one of the two sees what the other has stored.
        self.attention.ticks.is_busy.store(true, SeqCst);
        if !self.has_ticker.get() || !ticker::is_awake() {
            self.attention.ticks.is_busy.store(false, Relaxed);
            self.watch_clock();
        }
    }

    #[cold]
    fn watch_clock(&self) {
        self.last_poll.set(self.clock.now());
        self.check_budget_after(1);
        self.attention.set(AttentionBit::Clock);
    }

    /// Ends a stretch of work, before `idle` waits.
    #[inline]
    pub(super) fn end_work(&self) {
        self.attention.ticks.is_busy.store(false, Relaxed);
        self.attention.ticks.is_due.store(false, Relaxed);
        self.attention.clear(AttentionBit::Clock);
    }

    /// Whether it is time to poll for events. Reads the clock if no ticker does that.
    pub(super) fn is_tick_due(&self) -> bool {
        if self.attention.is_set(AttentionBit::Clock) {
            let now = self.clock.now();
            if now.saturating_duration_since(self.last_poll.get()) >= WARM_UP {
                self.last_poll.set(now);
                self.rely_on_ticker();
                self.attention.ticks.is_due.store(true, Relaxed);
            }
        }
        self.attention.ticks.is_due.load(Relaxed)
    }

    /// Answers a tick, before the poll that it has requested. The ticker may sleep by now, if the
    /// answer took long.
    pub(super) fn answer_tick(&self) {
        self.attention.end_tick();
        if !self.attention.is_set(AttentionBit::Clock) {
            self.begin_work();
        }
    }

    /// Wakes the ticker and relies on it, if the system has an OS thread for it.
    fn rely_on_ticker(&self) {
        if !self.has_ticker.replace(true) {
            // SAFETY: `leave_ticker` is called before the scheduler is freed and before the thread
            // locals of this OS thread are gone. Until then neither of the two moves.
            unsafe { ticker::add(&self.attention.ticks, self.until_check) };
        }
        if ticker::wake() {
            self.attention.ticks.is_busy.store(true, Relaxed);
            self.attention.clear(AttentionBit::Clock);
        }
    }

    /// Ends the ticks. Must be called before the scheduler is freed.
    pub(super) fn leave_ticker(&self) {
        if self.has_ticker.replace(false) {
            ticker::remove(&self.attention.ticks);
        }
    }

    /// Whether a test decides what happens when. Ticks would make its runs differ.
    pub(super) fn is_time_simulated(&self) -> bool {
        self.attention.is_set(AttentionBit::RandomOrder) || self.clock.is_paused()
    }
}
