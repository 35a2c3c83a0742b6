//! Hooks for tests: they control the order of the ready green threads, time, and a fault at a
//! chosen parking point. A program that does not use them pays nothing.

use std::time::Instant;

use super::Scheduler;
use super::attention::AttentionBit;
use crate::green::GreenRef;

/// The kind of interruption that a test injects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Killed while it is parked.
    Kill,
    /// Killed after it was woken and before it runs.
    KillAfterWake,
    /// The deadline of its outermost timeout scope passes while it is parked.
    Timeout,
    /// Panics as soon as it is woken.
    Panic,
}

/// A fault that has not happened yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedFault {
    /// The id of the green thread.
    pub(crate) victim: u64,
    /// The number of parking points before the one at which the fault happens.
    pub(crate) after: usize,
    pub(crate) fault: Fault,
}

impl Scheduler {
    /// Makes the scheduler run ready green threads in a random order, which is the same for the
    /// same seed.
    pub(crate) fn randomize_order(&self, seed: u64) {
        *self.random.borrow_mut() = fastrand::Rng::with_seed(seed);
        self.attention.set(AttentionBit::RandomOrder);
        self.simulate_time();
    }

    /// Makes the scheduler run ready green threads in FIFO order again.
    pub(crate) fn restore_fifo(&self) {
        self.attention.clear(AttentionBit::RandomOrder);
    }

    /// Pauses the clock. It advances to the next deadline when every green thread is parked.
    pub(crate) fn pause_clock(&self) {
        self.clock.pause();
        self.simulate_time();
    }

    /// Stops what depends on real time.
    fn simulate_time(&self) {
        self.end_work();
        self.check_budget_after(1);
    }

    /// Returns a random number below `end`, which is not zero.
    pub(crate) fn random(&self, end: usize) -> usize {
        self.random.borrow_mut().usize(..end)
    }

    /// Moves a random green thread to the head of the run queue, if the order is random.
    pub(super) fn randomize_next(&self) {
        if !self.attention.is_set(AttentionBit::RandomOrder) {
            return;
        }
        self.run_queue.close_holes();
        let ready = self.run_queue.len();
        if ready > 1 {
            self.run_queue.swap_with_front(self.random(ready));
        }
    }

    /// Makes the newest entry of the run queue run next.
    pub(crate) fn run_newest_next(&self) {
        self.run_queue.close_holes();
        self.run_queue.swap_with_front(self.run_queue.len() - 1);
    }

    /// Advances a paused clock although others are ready, and ends the waits that expire.
    pub(crate) fn advance_clock_to(&self, moment: Instant) {
        self.clock.advance_to(moment);
        self.expire_timers();
    }

    /// Whether any green thread other than the running one is ready.
    pub(crate) fn has_ready(&self) -> bool {
        self.run_queue.len() > 0
    }

    /// Whether a fault has been planned and has not happened yet.
    pub(crate) fn is_fault_planned(&self) -> bool {
        self.planned_fault.get().is_some()
    }

    /// Whether a fault may happen at the next parking point of `green`.
    pub(super) fn is_fault_planned_for(&self, green: GreenRef) -> bool {
        let planned = self.planned_fault.get();
        planned.is_some_and(|planned| planned.victim == green.id()) && green.shields.get() == 0
    }

    /// Takes the fault that is due at this parking point of `green`. A shield defers it like a real
    /// kill or timeout.
    pub(crate) fn take_due_fault(&self, green: GreenRef) -> Option<Fault> {
        let planned = self.planned_fault.get()?;
        if !self.is_fault_planned_for(green) {
            return None;
        }
        if planned.after == 0 {
            self.planned_fault.set(None);
            return Some(planned.fault);
        }
        self.planned_fault.set(Some(PlannedFault {
            after: planned.after - 1,
            ..planned
        }));
        None
    }
}
