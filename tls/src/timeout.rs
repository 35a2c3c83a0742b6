//! Timeouts that all handles of a stream share, and the deadline of one operation.
//!
//! An operation may need several reads or writes of the transport. Each of them gets only the time
//! that is left; otherwise a peer could hold a read for ever by sending a record byte by byte.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::now;

/// An optional timeout: nanoseconds, or zero for none.
#[derive(Debug, Default)]
pub(crate) struct Timeout(AtomicU64);

impl Timeout {
    pub(crate) fn set(&self, timeout: Option<Duration>) {
        let nanos = timeout.map_or(0, |timeout| {
            u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
        });
        self.0.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// Returns the deadline of an operation that begins now.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.get())
    }
}

/// When an operation must be done, if there is a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) const NEVER: Self = Self(None);

    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| now().checked_add(timeout)))
    }

    pub(crate) fn has_passed(self) -> bool {
        self.0.is_some_and(|deadline| deadline <= now())
    }

    /// Passes the time that is left to `set`, if there is a limit.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` if no time is left, and the error of `set`.
    pub(crate) fn apply(
        self,
        set: impl FnOnce(Option<Duration>) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(deadline) = self.0 else {
            return Ok(());
        };
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the operation on the TLS stream took too long",
            ));
        }
        set(Some(left))
    }
}
