//! `Pace`: how long the transfer of one body may take.

use std::time::Duration;

/// The time limits of a transfer. Only the time spent waiting for the peer counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaceLimits {
    /// For one read or write, and for the time that a slow start may take.
    pub(crate) stall: Duration,
    /// In bytes per second, averaged over the transfer. Zero means no limit.
    pub(crate) min_rate: u64,
    /// For the whole transfer.
    pub(crate) total: Option<Duration>,
}

/// The progress of a transfer, and its limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    limits: PaceLimits,
    waited: Duration,
    moved: u64,
}

impl Pace {
    pub(crate) const fn new(limits: PaceLimits) -> Self {
        Self {
            limits,
            waited: Duration::ZERO,
            moved: 0,
        }
    }

    /// Returns how long the next read or write may take; zero if the transfer is too slow.
    pub(crate) fn remaining(&self) -> Duration {
        let PaceLimits {
            stall,
            min_rate,
            total,
        } = self.limits;
        let mut left = stall;
        if min_rate > 0 && (self.moved > 0 || !self.waited.is_zero()) {
            let earned = Duration::from_secs_f64(self.moved as f64 / min_rate as f64);
            left = left.min(stall.saturating_add(earned).saturating_sub(self.waited));
        }
        total.map_or(left, |total| left.min(total.saturating_sub(self.waited)))
    }

    pub(crate) fn has_moved(&self) -> bool {
        self.moved > 0
    }

    /// Records a read or write that took `waited`.
    pub(crate) fn record(&mut self, waited: Duration, moved: usize) {
        self.waited += waited;
        self.moved += moved as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, PaceLimits};
    use std::time::Duration;

    #[test]
    fn a_transfer_below_its_rate_runs_out_of_time_however_steady_it_is() {
        let second = Duration::from_secs(1);
        let limits = PaceLimits {
            stall: 10 * second,
            min_rate: 100,
            total: None,
        };
        let mut drip = Pace::new(limits);
        for _ in 0..11 {
            assert!(!drip.remaining().is_zero());
            drip.record(second, 1);
        }
        assert!(drip.remaining().is_zero());
        let mut steady = Pace::new(limits);
        for _ in 0..1000 {
            assert_eq!(steady.remaining(), 10 * second);
            steady.record(second, 100);
        }
        let mut fast = Pace::new(PaceLimits {
            total: Some(30 * second),
            ..limits
        });
        fast.record(29 * second, 1_000_000);
        assert_eq!(fast.remaining(), second);
        fast.record(second, 1_000_000);
        assert!(fast.remaining().is_zero());
    }

    #[test]
    fn a_transfer_that_may_stall_for_ever_has_no_limit_however_much_has_moved() {
        let mut unlimited = Pace::new(PaceLimits {
            stall: Duration::MAX,
            min_rate: 1,
            total: None,
        });
        unlimited.record(Duration::ZERO, 1_000_000);
        assert_eq!(unlimited.remaining(), Duration::MAX);
    }
}
