//! What a test takes into its hands: the order of those who are ready, time, and an interruption at
//! a chosen parking point. None of it costs a program that does not ask for it.

use std::time::Instant;

use super::Scheduler;
use super::attention::AttentionBit;
use crate::green::GreenRef;

/// How a green thread is interrupted at a parking point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Killed while it is parked.
    Kill,
    /// Killed when it was woken, but has not run yet.
    KillAfterWake,
    /// The deadline around its work comes while it is parked.
    Timeout,
    /// It panics as soon as it is woken.
    Panic,
}

/// One interruption that is to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedFault {
    pub(crate) victim: u64,
    /// So many parking points are let pass.
    pub(crate) after: usize,
    pub(crate) fault: Fault,
}

impl Scheduler {
    /// From here on the next green thread is drawn by lot, the same for the same seed.
    pub(crate) fn randomize_order(&self, seed: u64) {
        *self.random.borrow_mut() = fastrand::Rng::with_seed(seed);
        self.attention.set(AttentionBit::RandomOrder);
    }

    /// Back to first come, first served.
    pub(crate) fn restore_fifo(&self) {
        self.attention.clear(AttentionBit::RandomOrder);
    }

    /// A number below `end`, which is above zero.
    pub(crate) fn random(&self, end: usize) -> usize {
        self.random.borrow_mut().usize(..end)
    }

    /// Puts a drawn one at the head of the run queue, if lots are drawn.
    pub(super) fn randomize_next(&self) {
        let ready = self.run_queue.len();
        if self.attention.is_set(AttentionBit::RandomOrder) && ready > 1 {
            self.run_queue.swap_with_front(self.random(ready));
        }
    }

    /// Has the youngest of the ready ones run next.
    pub(crate) fn run_newest_next(&self) {
        self.run_queue.swap_with_front(self.run_queue.len() - 1);
    }

    /// Moves a held clock on, though others are ready, and ends the waits that are due by then.
    pub(crate) fn advance_clock_to(&self, moment: Instant) {
        self.clock.advance_to(moment);
        self.expire_timers();
    }

    /// Whether anybody is ready besides the running one.
    pub(crate) fn has_ready(&self) -> bool {
        self.run_queue.len() > 0
    }

    /// The fault that is due where `green` parks; a shield holds it back as it does a real one.
    pub(crate) fn take_due_fault(&self, green: GreenRef) -> Option<Fault> {
        let meant =
            |planned: &PlannedFault| planned.victim == green.id() && green.shields.get() == 0;
        let planned = self.planned_fault.get().filter(meant)?;
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
