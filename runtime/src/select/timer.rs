//! Arms that are ready when it is late enough.

use std::time::{Duration, Instant};

use super::arms::{Arm, SelectHandle};
use crate::sched;
use crate::thread::SelectToken;

/// Ready when `duration` has passed. Zero is ready at once, if nothing else is.
#[must_use]
pub fn after(duration: Duration) -> Timer {
    Timer {
        deadline: sched::current().clock.deadline_after(duration),
    }
}

/// Ready at `deadline`.
#[must_use]
pub fn at(deadline: Instant) -> Timer {
    Timer {
        deadline: Some(deadline),
    }
}

/// See [`after`] and [`at`].
#[derive(Debug)]
pub struct Timer {
    /// `None` lies beyond what the clock can say.
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
