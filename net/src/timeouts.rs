//! Timeouts of sockets: durations that are not zero, which all handles of a socket share.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An optional timeout that several OS threads share: nanoseconds, or zero for none.
#[derive(Debug, Default)]
pub(crate) struct AtomicTimeout(AtomicU64);

impl AtomicTimeout {
    pub(crate) fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        timeout.map_or(Ok(()), check_nonzero)?;
        let nanos = timeout.map_or(0, |timeout| {
            u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
        });
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// Rejects a timeout of zero, as std does: it could mean "at once" or "never".
pub(crate) fn check_nonzero(timeout: Duration) -> io::Result<()> {
    if timeout.is_zero() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a timeout of zero is not allowed",
        ));
    }
    Ok(())
}
