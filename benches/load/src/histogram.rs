//! A histogram of durations. It has 64 buckets for each power of two, so a value is within 1.6% of
//! the recorded one.

use std::time::Duration;

/// The number of buckets for each power of two, which must itself be a power of two.
const PARTS: u64 = 64;

/// The number of occurrences of each duration.
#[derive(Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    /// Creates an empty histogram.
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; bucket(u64::MAX) + 1],
            count: 0,
        }
    }

    /// Removes all values.
    pub(crate) fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
    }

    /// Adds a value.
    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
    }

    /// Returns the number of recorded values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the shortest duration that `share` of the values, from 0 to 1, do not exceed.
    ///
    /// Returns zero if there are no values.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        let reaches = |n: &u64| {
            seen += n;
            seen >= wanted
        };
        let found = self.buckets.iter().position(reaches);
        Duration::from_nanos(found.map_or(0, middle))
    }
}

/// Returns the bucket of a value. Below `2 * PARTS` each value has its own bucket; above, `shift`
/// low bits are dropped.
fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(PARTS.ilog2() + 1);
    (u64::from(shift) * PARTS + (nanos >> shift)) as usize
}

/// Returns a value in the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / PARTS).saturating_sub(1);
    let low = (bucket - shift * PARTS) << shift;
    low + ((1 << shift) >> 1)
}
