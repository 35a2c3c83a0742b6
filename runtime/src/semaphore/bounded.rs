//! `BoundedSemaphore`: a semaphore that cannot exceed its initial number of permits.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Semaphore;

/// A [`Semaphore`] that cannot exceed its initial number of permits.
///
/// To release a semaphore more often than it was acquired is usually a mistake. Here it is an
/// error.
///
/// Only the methods that say so park.
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
    limit: usize,
}

impl BoundedSemaphore {
    /// Creates a semaphore with `permits` permits, which is also its limit.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self {
            permits: Semaphore::new(permits),
            limit: permits,
        }
    }

    /// Takes a permit, like [`Semaphore::acquire`].
    ///
    /// Parks until there is one. Waiters are served in FIFO order.
    ///
    /// # Panics
    ///
    /// Panics on the root green thread if a deadlock is detected.
    pub fn acquire(&self) {
        self.permits.acquire();
    }

    /// Takes a permit like [`acquire`](Self::acquire), waiting for at most `timeout`. Returns
    /// `true` if it has taken one.
    ///
    /// Parks until there is a permit, or for `timeout`.
    ///
    /// # Panics
    ///
    /// Panics as `acquire` does.
    #[must_use = "a permit must be released only if it was acquired"]
    pub fn acquire_timeout(&self, timeout: Duration) -> bool {
        self.permits.acquire_timeout(timeout)
    }

    /// Takes a permit if there is one, without parking. Returns `true` if it has taken one.
    #[must_use = "a permit must be released only if it was acquired"]
    pub fn try_acquire(&self) -> bool {
        self.permits.try_acquire()
    }

    /// Adds a permit, or hands it off to the longest waiter.
    ///
    /// # Errors
    ///
    /// Returns [`ReleasedTooOften`] if all permits are available already.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        if self.permits.state.permits.get() >= self.limit {
            return Err(ReleasedTooOften(()));
        }
        self.permits.release();
        Ok(())
    }

    /// Returns the number of permits that can be taken without parking, like
    /// [`Semaphore::available_permits`].
    #[doc(alias = "locked")]
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.permits.available_permits()
    }

    /// Returns the number of available permits, minus the number of green threads that wait for
    /// one.
    #[must_use]
    pub fn balance(&self) -> isize {
        self.permits.balance()
    }
}

/// Error returned by [`BoundedSemaphore::release`] if all permits are available already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasedTooOften(());

impl fmt::Display for ReleasedTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore was released more often than acquired")
    }
}

impl Error for ReleasedTooOften {}
