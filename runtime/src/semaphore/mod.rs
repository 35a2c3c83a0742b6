//! Semaphores: permits to be had, first come first served.
//!
//! A permit that is released goes straight to whoever has waited longest: it is gone from that
//! moment on, so nobody can slip in between. If that waiter unwinds before it can use the permit, it
//! releases it in turn.

mod bounded;
mod capped;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub use bounded::{BoundedSemaphore, ReleasedTooOften};
pub use capped::CappedSemaphore;

use crate::green::WaitReason;
use crate::sched;
use crate::thread::WaitQueue;

/// A number of permits: [`acquire`](Self::acquire) takes one and parks while there is none,
/// [`release`](Self::release) adds one.
///
/// It stays on its OS thread. A clone is another handle to the same semaphore.
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
pub struct Semaphore(Rc<State>);

struct State {
    permits: Cell<usize>,
    waiters: WaitQueue,
}

impl Semaphore {
    /// A semaphore with so many permits. Never parks.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self(Rc::new(State {
            permits: Cell::new(permits),
            waiters: WaitQueue::new(),
        }))
    }

    /// Takes a permit. Parks until there is one; who has waited longest comes first.
    ///
    /// # Panics
    ///
    /// On the root green thread, when nothing can wake anybody any more.
    pub fn acquire(&self) {
        while !self.acquire_until(None) {}
    }

    /// As [`acquire`](Self::acquire), but parks for `timeout` at most; whether there was one.
    ///
    /// # Panics
    ///
    /// As `acquire`.
    #[must_use = "without a permit there is nothing to release"]
    pub fn acquire_timeout(&self, timeout: Duration) -> bool {
        self.acquire_until(sched::deadline_after(timeout))
    }

    fn acquire_until(&self, deadline: Option<Instant>) -> bool {
        let waiters = &self.0.waiters;
        self.try_acquire()
            || waiters.wait_deadline_with(WaitReason::Acquire, deadline, || self.release())
    }

    /// Takes a permit if there is one right now. Never parks.
    #[must_use = "without a permit there is nothing to release"]
    pub fn try_acquire(&self) -> bool {
        let permits = self.0.permits.get();
        self.0.permits.set(permits.saturating_sub(1));
        permits > 0
    }

    /// Adds a permit, or gives it to whoever has waited longest. Never parks.
    ///
    /// # Panics
    ///
    /// If there would be more than `usize::MAX`.
    pub fn release(&self) {
        if !self.0.waiters.wake_one() {
            let more = self.0.permits.get().checked_add(1);
            self.0.permits.set(more.expect("fewer permits than that"));
        }
    }

    /// As [`acquire`](Self::acquire), and releases when the guard is dropped.
    ///
    /// # Panics
    ///
    /// As `acquire`.
    pub fn acquire_guard(&self) -> SemaphoreGuard {
        self.acquire();
        self.adopt()
    }

    pub(crate) fn try_acquire_guard(&self) -> Option<SemaphoreGuard> {
        self.try_acquire().then(|| self.adopt())
    }

    /// The guard of a permit that was acquired.
    pub(crate) fn adopt(&self) -> SemaphoreGuard {
        SemaphoreGuard(self.clone())
    }

    pub(crate) fn waiters(&self) -> &WaitQueue {
        &self.0.waiters
    }

    /// How many permits there are, less those who wait for one. Never parks.
    #[must_use]
    pub fn balance(&self) -> isize {
        self.0.permits.get().cast_signed() - self.0.waiters.len().cast_signed()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.0.permits.get())
            .field("waiting", &self.0.waiters.len())
            .finish()
    }
}

/// A permit of a [`Semaphore`], released when dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once protects nothing"]
pub struct SemaphoreGuard(Semaphore);

impl Drop for SemaphoreGuard {
    fn drop(&mut self) {
        self.0.release();
    }
}
