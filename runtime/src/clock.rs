//! Time: a monotonic clock, deadlines that cannot overflow, and time that a test holds still.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The clock of one scheduler.
#[derive(Debug)]
pub(crate) struct Clock {
    /// `None`: the system's monotonic clock.
    paused_at: Cell<Option<Instant>>,
}

impl Clock {
    pub(crate) const fn new() -> Self {
        Self {
            paused_at: Cell::new(None),
        }
    }

    /// The one place that reads the time.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.paused_at.get().unwrap_or_else(real_now)
    }

    /// The moment `timeout` from now, or `None` (never) where it lies beyond what the clock can say.
    pub(crate) fn deadline_after(&self, timeout: Duration) -> Option<Instant> {
        self.now().checked_add(timeout)
    }

    /// Stops the clock at the present moment: from here on it moves when told to.
    pub(crate) fn pause(&self) {
        self.paused_at.set(Some(self.now()));
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_at.get().is_some()
    }

    /// Moves a held clock, forwards only.
    pub(crate) fn advance_to(&self, moment: Instant) {
        if let Some(paused_at) = self.paused_at.get() {
            self.paused_at.set(Some(paused_at.max(moment)));
        }
    }

    /// Runs `f`, and moves a held clock by the time that it really took.
    #[inline]
    pub(crate) fn advance_by_elapsed<T>(&self, f: impl FnOnce() -> T) -> T {
        let Some(paused_at) = self.paused_at.get() else {
            return f();
        };
        let begin = real_now();
        let value = f();
        self.paused_at.set(Some(paused_at + begin.elapsed()));
        value
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is what everybody else is to ask through `Clock`"
)]
fn real_now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_far_future_is_never() {
        assert_eq!(Clock::new().deadline_after(Duration::MAX), None);
    }

    #[test]
    fn a_deadline_lies_ahead() {
        let clock = Clock::new();
        let before = clock.now();
        assert!(clock.deadline_after(SECOND).unwrap() >= before + SECOND);
    }

    #[test]
    fn a_held_clock_moves_when_told_and_never_back() {
        let clock = Clock::new();
        clock.pause();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance_to(start + SECOND);
        clock.advance_to(start);
        assert_eq!(clock.now(), start + SECOND);
    }
}
