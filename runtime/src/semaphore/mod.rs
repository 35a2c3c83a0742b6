//! Semaphores: permits that are handed out in FIFO order.
//!
//! A released permit is handed off to the longest waiter at once. It counts as taken from then on,
//! so no newcomer can take it first. If that waiter unwinds before it can use the permit, it
//! releases the permit in turn.

mod bounded;
mod capped;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub use bounded::{BoundedSemaphore, ReleasedTooOften};
pub use capped::{CappedSemaphore, CappedSemaphoreGuard};

use crate::green::{StaysOnItsOsThread, WaitReason};
use crate::sched;
use crate::thread::{WaitQueue, charge, charge_try, charge_without_yield};

/// A counting semaphore: [`acquire`](Self::acquire) takes a permit and parks while there is none,
/// [`release`](Self::release) adds one.
///
/// A semaphore stays on its OS thread. A clone is another handle to the same semaphore. Only the
/// methods that say so park.
///
/// # Examples
///
/// ```
/// use evy::Semaphore;
///
/// let permits = Semaphore::new(2);
/// let first = permits.acquire_guard();
/// assert!(permits.try_acquire());
/// assert!(!permits.try_acquire());
/// drop(first);
/// assert_eq!(permits.balance(), 1);
/// ```
#[derive(Clone)]
pub struct Semaphore {
    owner: PhantomData<*const StaysOnItsOsThread>,
    state: Rc<State>,
}

struct State {
    permits: Cell<usize>,
    waiters: WaitQueue,
}

impl Semaphore {
    /// Creates a semaphore with `permits` permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        let state = State {
            permits: Cell::new(permits),
            waiters: WaitQueue::new(),
        };
        Self {
            owner: PhantomData,
            state: Rc::new(state),
        }
    }

    /// Takes a permit.
    ///
    /// Parks until there is one. Waiters are served in FIFO order.
    ///
    /// # Panics
    ///
    /// Panics on the root green thread if a deadlock is detected.
    pub fn acquire(&self) {
        while !self.acquire_until(None) {}
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
        self.acquire_until(sched::deadline_after(timeout))
    }

    fn acquire_until(&self, deadline: Option<Instant>) -> bool {
        charge(|| self.state.permits.get() == 0);
        let waiters = &self.state.waiters;
        self.take_permit()
            || waiters.wait_deadline_with(WaitReason::Acquire, deadline, || self.release())
    }

    /// Takes a permit if there is one, without parking. Returns `true` if it has taken one.
    #[must_use = "a permit must be released only if it was acquired"]
    pub fn try_acquire(&self) -> bool {
        charge_try(|| self.take_permit(), |acquired| !acquired)
    }

    fn take_permit(&self) -> bool {
        let permits = self.state.permits.get();
        self.state.permits.set(permits.saturating_sub(1));
        permits > 0
    }

    /// Adds a permit, or hands it off to the longest waiter.
    ///
    /// # Panics
    ///
    /// Panics if there are `usize::MAX` permits already.
    pub fn release(&self) {
        charge_without_yield();
        if !self.state.waiters.wake_one() {
            let more = self.state.permits.get().checked_add(1);
            self.state
                .permits
                .set(more.expect("a semaphore cannot have more than `usize::MAX` permits"));
        }
    }

    /// Takes a permit like [`acquire`](Self::acquire), and returns a guard that releases it when
    /// dropped.
    ///
    /// Parks until there is a permit.
    ///
    /// # Panics
    ///
    /// Panics as `acquire` does.
    pub fn acquire_guard(&self) -> SemaphoreGuard {
        self.acquire();
        self.adopt()
    }

    pub(crate) fn try_acquire_guard(&self) -> Option<SemaphoreGuard> {
        self.take_permit().then(|| self.adopt())
    }

    /// Returns a guard for a permit that has been acquired already.
    pub(crate) fn adopt(&self) -> SemaphoreGuard {
        SemaphoreGuard(self.clone())
    }

    pub(crate) fn waiters(&self) -> &WaitQueue {
        &self.state.waiters
    }

    /// Returns the number of permits that can be taken without parking. While it is 0,
    /// [`acquire`](Self::acquire) parks.
    ///
    /// # Examples
    ///
    /// ```
    /// let permits = evy::Semaphore::new(1);
    /// assert_eq!(permits.available_permits(), 1);
    /// permits.acquire();
    /// assert_eq!(permits.available_permits(), 0);
    /// ```
    #[doc(alias = "locked")]
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.state.permits.get()
    }

    /// Returns the number of available permits, minus the number of green threads that wait for
    /// one.
    #[must_use]
    pub fn balance(&self) -> isize {
        signed(self.state.permits.get()).saturating_sub(signed(self.state.waiters.len()))
    }
}

/// Returns `count`, which may be larger than any `isize`, as the nearest one.
fn signed(count: usize) -> isize {
    isize::try_from(count).unwrap_or(isize::MAX)
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.state.permits.get())
            .field("waiting", &self.state.waiters.len())
            .finish()
    }
}

/// A permit of a [`Semaphore`], which is released when the guard is dropped.
#[derive(Debug)]
#[must_use = "the permit is released at once if the guard is not kept"]
pub struct SemaphoreGuard(Semaphore);

impl Drop for SemaphoreGuard {
    fn drop(&mut self) {
        self.0.release();
    }
}
