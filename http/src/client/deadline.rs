//! `Deadline`: when a part of an exchange has to be done.

use std::io;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::now;

use crate::buffered::IoDeadline;

/// A time by which something has to be done. `None` stands for a time that the clock cannot
/// represent, and therefore for no limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        Self(now().checked_add(limit))
    }

    /// Returns the earlier one of this deadline and the one after `limit`.
    pub(super) fn or_after(self, limit: Duration) -> Self {
        Self(self.0.into_iter().chain(Self::after(limit).0).min())
    }

    /// Returns the time that is left.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` if there is none.
    pub(super) fn remaining(self) -> io::Result<Duration> {
        Ok(self.io().remaining()?.unwrap_or(Duration::MAX))
    }

    /// Returns a deadline for all reads and writes together.
    pub(super) fn io(self) -> IoDeadline {
        IoDeadline::Total(self.0)
    }
}
