//! The clock: monotonic time that a test can pause, and deadlines that cannot overflow.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The clock of one scheduler.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The current time of a paused clock. `None` if the clock is not paused and follows the
    /// system's monotonic clock.
    paused_at: Cell<Option<Instant>>,
}

impl Clock {
    pub(crate) const fn new() -> Self {
        Self {
            paused_at: Cell::new(None),
        }
    }

    /// Returns the current time. All other code reads the time through this function.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.paused_at.get().unwrap_or_else(real_now)
    }

    /// Returns the time `timeout` from now, or `None` (never) if the clock cannot represent it.
    pub(crate) fn deadline_after(&self, timeout: Duration) -> Option<Instant> {
        self.now().checked_add(timeout)
    }

    /// Pauses the clock at the current time. From then on only [`Self::advance_to`] and
    /// [`Self::advance_by_elapsed`] move it.
    pub(crate) fn pause(&self) {
        self.paused_at.set(Some(self.now()));
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_at.get().is_some()
    }

    /// Moves a paused clock forward to `moment`. Does nothing if `moment` has passed, or if the
    /// clock is not paused.
    pub(crate) fn advance_to(&self, moment: Instant) {
        if let Some(paused_at) = self.paused_at.get() {
            self.paused_at.set(Some(paused_at.max(moment)));
        }
    }

    /// Runs `f`, and advances a paused clock by the real time that `f` took.
    #[inline]
    pub(crate) fn advance_by_elapsed<T>(&self, f: impl FnOnce() -> T) -> T {
        let Some(paused_at) = self.paused_at.get() else {
            return f();
        };
        let begin = real_now();
        let value = f();
        // At the end of the range of `Instant`, the clock stops. A panic here would unwind a green
        // thread that drives the poller, out of a wait that nothing may unwind.
        let advanced = paused_at.checked_add(begin.elapsed());
        self.paused_at.set(Some(advanced.unwrap_or(paused_at)));
        value
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "all other code reads the time through `Clock`"
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
    fn a_deadline_that_the_clock_cannot_represent_is_never() {
        assert_eq!(Clock::new().deadline_after(Duration::MAX), None);
    }

    #[test]
    fn a_deadline_lies_in_the_future() {
        let clock = Clock::new();
        let before = clock.now();
        assert!(clock.deadline_after(SECOND).unwrap() >= before + SECOND);
    }

    #[test]
    fn a_paused_clock_moves_only_when_it_is_advanced_and_never_backward() {
        let clock = Clock::new();
        clock.pause();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance_to(start + SECOND);
        clock.advance_to(start);
        assert_eq!(clock.now(), start + SECOND);
    }

    #[test]
    fn a_paused_clock_stops_at_the_end_of_its_range() {
        let clock = Clock::new();
        clock.pause();
        let mut step = Duration::MAX;
        while !step.is_zero() {
            match clock.deadline_after(step) {
                Some(later) => clock.advance_to(later),
                None => step /= 2,
            }
        }
        let end = clock.now();
        clock.advance_by_elapsed(|| while begin_elapsed_is_zero() {});
        assert_eq!(clock.now(), end);
    }

    /// Takes a measurable time.
    fn begin_elapsed_is_zero() -> bool {
        let real = Clock::new();
        let begin = real.now();
        real.now() <= begin
    }
}
