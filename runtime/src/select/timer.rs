//! The `after`, `at` and `tick` arms: timers.

use std::time::{Duration, Instant};

use super::arms::{Arm, SelectHandle};
use crate::interval::Interval;
use crate::sched;
use crate::thread::SelectToken;

/// Returns an arm that is ready when `duration` has passed since this call.
///
/// A duration of zero is ready at once, but is considered only if no other arm is ready.
#[must_use]
pub fn after(duration: Duration) -> Timer {
    Timer {
        deadline: sched::current().clock.deadline_after(duration),
    }
}

/// Returns an arm that is ready when `deadline` has passed.
#[must_use]
pub fn at(deadline: Instant) -> Timer {
    Timer {
        deadline: Some(deadline),
    }
}

/// Returns an arm that is ready when the next tick of `interval` is due. Its output is that of
/// [`Interval::tick`].
///
/// The tick is consumed only if the arm is chosen.
#[must_use]
pub fn tick(interval: &Interval) -> Tick<'_> {
    Tick(interval)
}

/// The arm returned by [`after`] and [`at`].
#[derive(Debug)]
pub struct Timer {
    /// `None` if the deadline is beyond the range of the clock. Such a timer is never ready.
    deadline: Option<Instant>,
}

impl SelectHandle for Timer {
    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    unsafe fn register(&self, _: SelectToken) -> bool {
        true
    }

    fn unregister(&self) {}
}

impl Arm for Timer {
    type Output = ();

    fn try_select(&self) -> Option<()> {
        let now = sched::current().clock.now();
        self.deadline
            .is_some_and(|deadline| deadline <= now)
            .then_some(())
    }
}

/// The arm returned by [`tick`].
#[derive(Debug)]
pub struct Tick<'a>(&'a Interval);

impl SelectHandle for Tick<'_> {
    fn deadline(&self) -> Option<Instant> {
        self.0.next_tick()
    }

    unsafe fn register(&self, _: SelectToken) -> bool {
        true
    }

    fn unregister(&self) {}
}

impl Arm for Tick<'_> {
    type Output = Instant;

    fn try_select(&self) -> Option<Instant> {
        self.0.take_due(sched::current().clock.now())
    }
}
