//! `Deadline`: when an operation with a timeout of ureq must have ended.

use std::io;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::now;
use ureq::Error;
use ureq::unversioned::transport::time::Instant as UreqInstant;
use ureq::unversioned::transport::{ConnectionDetails, NextTimeout};

/// The end of an operation, and which setting of ureq has determined it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// `None` if there is no limit.
    at: Option<Instant>,
    timeout: NextTimeout,
}

impl Deadline {
    /// Returns the deadline of an operation that begins now.
    pub(crate) fn after(timeout: NextTimeout) -> Self {
        let at = match timeout.after.is_not_happening() {
            true => None,
            // A time that the clock cannot represent never comes.
            false => now().checked_add(*timeout.after),
        };
        Self { at, timeout }
    }

    /// Returns the deadline for establishing a connection, which has begun when ureq created
    /// `details`. A proxy may have been resolved since then.
    pub(crate) fn of_connecting(details: &ConnectionDetails<'_>) -> Self {
        let mut timeout = details.timeout;
        if !timeout.after.is_not_happening()
            && let UreqInstant::Exact(now) = (details.current_time)()
            && let UreqInstant::Exact(start) = details.now
        {
            let elapsed = now.saturating_duration_since(start);
            timeout.after = timeout.after.saturating_sub(elapsed).into();
        }
        Self::after(timeout)
    }

    /// Returns how much time is left, which is never zero; `None` means without limit.
    ///
    /// # Errors
    ///
    /// Returns the timeout if the deadline has passed.
    pub(crate) fn left(self) -> Result<Option<Duration>, Error> {
        let Some(at) = self.at else {
            return Ok(None);
        };
        match at.saturating_duration_since(now()) {
            Duration::ZERO => Err(Error::Timeout(self.timeout.reason)),
            left => Ok(Some(left)),
        }
    }

    /// Returns what is left as a timeout of ureq.
    ///
    /// # Errors
    ///
    /// Returns the timeout if the deadline has passed.
    pub(crate) fn left_timeout(self) -> Result<NextTimeout, Error> {
        let left = self.left()?;
        Ok(NextTimeout {
            after: left.map_or(self.timeout.after, Into::into),
            ..self.timeout
        })
    }

    /// Returns the error for a failed operation, which had this deadline.
    pub(crate) fn error(self, error: io::Error) -> Error {
        let is_timeout = error.kind() == io::ErrorKind::TimedOut;
        let passed = self.left().err().filter(|_| is_timeout);
        passed.unwrap_or(Error::Io(error))
    }
}
