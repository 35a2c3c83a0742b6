//! A semaphore that knows how many permits there are in all.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Semaphore;

/// A [`Semaphore`] that never has more permits than it began with: a release too many, the sign of a
/// mistake, is an error.
///
/// # Examples
///
/// ```
/// use evy::BoundedSemaphore;
///
/// let one = BoundedSemaphore::new(1);
/// one.acquire();
/// assert!(one.release().is_ok());
/// assert!(one.release().is_err());
/// ```
#[derive(Clone, Debug)]
pub struct BoundedSemaphore {
    permits: Semaphore,
    most: usize,
}

impl BoundedSemaphore {
    /// A semaphore with so many permits, and never more. Never parks.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self {
            permits: Semaphore::new(permits),
            most: permits,
        }
    }

    /// As [`Semaphore::acquire`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn acquire(&self) {
        self.permits.acquire();
    }

    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Panics
    ///
    /// As there.
    #[must_use = "without a permit there is nothing to release"]
    pub fn acquire_timeout(&self, timeout: Duration) -> bool {
        self.permits.acquire_timeout(timeout)
    }

    /// As [`Semaphore::try_acquire`]. Never parks.
    #[must_use = "without a permit there is nothing to release"]
    pub fn try_acquire(&self) -> bool {
        self.permits.try_acquire()
    }

    /// As [`Semaphore::release`]. Never parks.
    ///
    /// # Errors
    ///
    /// [`ReleasedTooOften`] if all permits are there already.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        if self.permits.0.permits.get() >= self.most {
            return Err(ReleasedTooOften(()));
        }
        self.permits.release();
        Ok(())
    }

    /// As [`Semaphore::balance`]. Never parks.
    #[must_use]
    pub fn balance(&self) -> isize {
        self.permits.balance()
    }
}

/// A [`BoundedSemaphore`] had all its permits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasedTooOften(());

impl fmt::Display for ReleasedTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore was released more often than acquired")
    }
}

impl Error for ReleasedTooOften {}
