//! What a test takes into its hands: the order of those who are ready, time, and an interruption at
//! a chosen parking point. None of it costs a program that does not ask for it.

use std::time::Instant;

use super::{Scheduler, TURNS_PER_LOOK};
use crate::green::GreenRef;

/// How a green thread is interrupted at a parking point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Killed while it is parked.
    Kill,
    /// Killed when it was woken, but has not run yet.
    KillWoken,
    /// The deadline around its work comes while it is parked.
    Timeout,
    /// It panics as soon as it is woken.
    Panic,
}

/// One interruption that is to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strike {
    pub(crate) victim: u64,
    /// So many parking points are let pass.
    pub(crate) after: usize,
    pub(crate) blow: Blow,
}

impl Scheduler {
    /// From here on the next green thread is drawn by lot, the same for the same seed.
    pub(crate) fn shuffle(&self, seed: u64) {
        *self.random.borrow_mut() = fastrand::Rng::with_seed(seed);
        self.shuffled.set(true);
        self.adjust_looks();
    }

    /// Back to first come, first served.
    pub(crate) fn unshuffle(&self) {
        self.shuffled.set(false);
        self.adjust_looks();
    }

    /// Who draws lots, or is watched, has a look around before every choice, so that the way to the
    /// switch need not ask.
    pub(super) fn adjust_looks(&self) {
        let always = self.shuffled.get() || self.is_watched();
        self.look_mask
            .set(if always { 0 } else { TURNS_PER_LOOK - 1 });
    }

    /// A number below `end`, which is above zero.
    pub(crate) fn random(&self, end: usize) -> usize {
        self.random.borrow_mut().usize(..end)
    }

    /// Puts a drawn one at the head of the run queue, if lots are drawn.
    pub(super) fn draw(&self) {
        let ready = self.run_queue.len();
        if self.shuffled.get() && ready > 1 {
            self.run_queue.bring_forward(self.random(ready));
        }
    }

    /// Has the youngest of the ready ones run next.
    pub(crate) fn prefer_youngest(&self) {
        self.run_queue.bring_forward(self.run_queue.len() - 1);
    }

    /// Moves a held clock on, though others are ready, and ends the waits that are due by then.
    pub(crate) fn pass_time_until(&self, moment: Instant) {
        self.clock.advance_to(moment);
        self.expire_timers();
    }

    /// Whether anybody is ready besides the running one.
    pub(crate) fn is_anybody_ready(&self) -> bool {
        self.run_queue.len() > 0
    }

    /// The blow that is due where `green` parks; a shield holds it back as it does a real one.
    pub(crate) fn strike_due(&self, green: GreenRef) -> Option<Blow> {
        let meant = |strike: &Strike| strike.victim == green.id() && green.shields.get() == 0;
        let strike = self.strike.get().filter(meant)?;
        if strike.after == 0 {
            self.strike.set(None);
            return Some(strike.blow);
        }
        self.strike.set(Some(Strike {
            after: strike.after - 1,
            ..strike
        }));
        None
    }
}
