//! A histogram of durations: 64 buckets for each power of two, so within 1.6 % of what was recorded.

use std::time::Duration;

/// Each power of two is cut into so many parts, a power of two itself.
const PARTS: u64 = 64;

/// How often each duration, in nanoseconds, was seen.
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

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest duration that this share of all did not exceed. Zero if there are none.
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

/// Below `2 * PARTS` each value has a bucket of its own; above, `shift` bits are dropped.
fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(PARTS.ilog2() + 1);
    (u64::from(shift) * PARTS + (nanos >> shift)) as usize
}

/// A value in the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / PARTS).saturating_sub(1);
    let low = (bucket - shift * PARTS) << shift;
    low + ((1 << shift) >> 1)
}
