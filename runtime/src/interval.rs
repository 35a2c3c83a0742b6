//! `Interval`: ticks at a fixed period, which do not drift.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::green::WaitReason;
use crate::sched;
use crate::thread::{self, CountGuard};

/// Returns an interval that ticks now, and then every `period`.
///
/// [`Interval`] describes its ticks. Use [`interval_at`] for a first tick at another time.
///
/// # Panics
///
/// Panics if `period` is zero.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let mut ticks = evy::interval(Duration::from_millis(1));
/// let first = ticks.tick();
/// for tick in ticks.by_ref().take(3) {
///     assert!(tick > first);
/// }
/// ```
pub fn interval(period: Duration) -> Interval {
    interval_at(sched::current().clock.now(), period)
}

/// Returns an interval that ticks at `start`, and then every `period`.
///
/// # Panics
///
/// Panics if `period` is zero.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let period = Duration::from_millis(1);
/// let start = evy::lowlevel::now() + period;
/// let ticks = evy::interval_at(start, period);
/// assert_eq!(ticks.tick(), start);
/// ```
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "the period of an interval must not be zero"
    );
    Interval {
        period,
        next: Cell::new(Some(start)),
    }
}

/// Ticks at a fixed period; returned by [`interval`] and [`interval_at`].
///
/// The ticks do not drift: each is due a whole number of periods after the first one, however long
/// the code between two ticks takes. If that takes longer than a period, the tick that is due then
/// comes at once, and the others that were missed are skipped.
///
/// A green thread that waits for a tick and is interrupted, by a kill or a timeout, consumes none.
/// If several green threads wait for the same interval, each tick goes to one of them.
///
/// In [`select!`](crate::select!), the arm `tick(&interval)` waits for a tick. An interval is also
/// an iterator over its ticks, which does not end.
#[derive(Debug)]
#[must_use = "an interval does nothing until one waits for its ticks"]
pub struct Interval {
    period: Duration,
    /// The time of the next tick. `None` if it is beyond the range of the clock.
    next: Cell<Option<Instant>>,
}

impl Interval {
    /// Waits for the next tick, and returns the time at which it was due.
    ///
    /// Parks until the tick is due. A call that need not park yields once in a while.
    pub fn tick(&self) -> Instant {
        let scheduler = sched::current();
        let is_due = |now| self.next.get().is_some_and(|next| next <= now);
        thread::charge(|| !is_due(scheduler.clock.now()));
        loop {
            if let Some(tick) = self.take_due(scheduler.clock.now()) {
                return tick;
            }
            let next = self.next.get();
            // Without a deadline, no timer shows that this green thread waits for time alone.
            let _waits_forever = next
                .is_none()
                .then(|| CountGuard::new(&scheduler.unforeseen_waiters));
            thread::wait(scheduler, WaitReason::Sleep, next);
        }
    }

    /// Returns the time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns the time of the next tick, unless it is beyond the range of the clock.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.next.get()
    }

    /// Consumes the tick that is due, if one is, and those that were missed since.
    pub(crate) fn take_due(&self, now: Instant) -> Option<Instant> {
        let due = self.next.get().filter(|next| *next <= now)?;
        let into_period = remainder(now - due, self.period);
        self.next.set(now.checked_add(self.period - into_period));
        Some(due)
    }
}

/// Returns what is left of `time` after as many whole periods as it contains.
fn remainder(time: Duration, period: Duration) -> Duration {
    let nanos = time.as_nanos() % period.as_nanos();
    // It is less than the period, so it fits.
    Duration::new((nanos / NANOS) as u64, (nanos % NANOS) as u32)
}

/// The number of nanoseconds in a second.
const NANOS: u128 = 1_000_000_000;

impl Iterator for Interval {
    type Item = Instant;

    /// Waits for the next tick, as [`tick`](Self::tick) does.
    ///
    /// Parks until the tick is due.
    fn next(&mut self) -> Option<Instant> {
        Some(self.tick())
    }
}
