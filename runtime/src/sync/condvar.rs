//! `Condvar`: a condition variable.

use std::fmt;
use std::sync::{LockResult, PoisonError};
use std::time::{Duration, Instant};

use super::mutex::MutexGuard;
use super::wait_list::{IfAbandoned, PendingUnpark, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{Mutex, const_fn_unless_loom, lock};
use crate::thread::{charge_without_yield, deadline_after_any_thread, unless_abandoned};

/// A condition variable for the data of a [`Mutex`](super::Mutex), like [`std::sync::Condvar`].
///
/// Only the methods that say so park.
///
/// # Differences from std
///
/// - Waiters are notified in FIFO order.
/// - There are no spurious wake-ups: a wait returns only after a notification, or when its timeout
///   has passed.
/// - A waiter that is killed or times out after it was notified passes the notification on to the
///   next waiter.
///
/// # Examples
///
/// ```
/// use evy::sync::{Arc, Condvar, Mutex};
///
/// let door = Arc::new((Mutex::new(false), Condvar::new()));
/// let opener = Arc::clone(&door);
/// evy::spawn_n(move || {
///     *opener.0.lock().unwrap() = true;
///     opener.1.notify_one();
/// });
/// let open = door.1.wait_while(door.0.lock().unwrap(), |open| !*open).unwrap();
/// assert!(*open);
/// ```
pub struct Condvar {
    waiters: Mutex<WaitList>,
}

impl Condvar {
    const_fn_unless_loom! {
        /// Creates a condition variable that has no waiters.
        #[must_use]
        pub fn new() -> Self {
            Self {
                waiters: Mutex::new(WaitList::new()),
            }
        }
    }

    /// Releases the mutex, waits for a notification, and acquires the mutex again.
    ///
    /// Parks until notified, and until the mutex is available.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the guard if the mutex is poisoned.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        map(self.wait_until(guard, None), |(guard, _)| guard)
    }

    /// Waits like [`wait`](Self::wait), repeatedly, as long as `condition` returns `true`.
    ///
    /// Parks until `condition` returns `false`. It is checked before the first wait and after each
    /// notification.
    ///
    /// # Errors
    ///
    /// Returns an error as `wait` does.
    pub fn wait_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits like [`wait`](Self::wait), for at most `timeout`.
    ///
    /// Parks until notified, or for `timeout`, and then until the mutex is available. The time for
    /// the mutex comes on top of `timeout`.
    ///
    /// # Errors
    ///
    /// Returns an error as `wait` does.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.wait_until(guard, deadline_after_any_thread(timeout))
    }

    /// Waits like [`wait_while`](Self::wait_while), for at most `timeout`.
    ///
    /// Parks until `condition` returns `false`, or for `timeout`, and then until the mutex is
    /// available.
    ///
    /// # Errors
    ///
    /// Returns an error as `wait` does.
    pub fn wait_timeout_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = deadline_after_any_thread(timeout);
        let mut timed_out = false;
        loop {
            if !condition(&mut guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if timed_out {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let (again, result) = self.wait_until(guard, deadline)?;
            (guard, timed_out) = (again, result.timed_out());
        }
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let mutex = guard.mutex();
        let waiters = lock(&self.waiters);
        let wait = WaitParams {
            state: &self.waiters,
            queue: |waiters| waiters,
            position: Position::Back,
            reason: WaitReason::Notify,
            deadline,
            if_abandoned: IfAbandoned::Leaves,
        };
        // The waiter enters the queue before the mutex is released. So code that changes the
        // condition afterwards finds the waiter in the queue.
        let release = || drop(guard);
        let renotify = |_| self.notify_one();
        let outcome = wait.park_with(waiters, None, release, |_| {}, renotify);
        let timed_out = WaitTimeoutResult(outcome.is_err());
        let notified = Notified(self, outcome.is_ok());
        let again = unless_abandoned(&|| notified.pass_on(), || mutex.lock());
        std::mem::forget(notified);
        map(again, |guard| (guard, timed_out))
    }

    /// Notifies the longest waiter, if there is one.
    pub fn notify_one(&self) {
        charge_without_yield();
        let pending = lock(&self.waiters).notify_front(|_| ());
        if let Some((pending, ())) = pending {
            pending.unpark();
        }
    }

    /// Notifies all current waiters.
    pub fn notify_all(&self) {
        charge_without_yield();
        // The inner lock is released at the end of this statement, before any waiter is unparked.
        let all = lock(&self.waiters).notify_all();
        all.into_iter().for_each(PendingUnpark::unpark);
    }
}

/// A waiter after the end of its wait, until it has acquired the mutex. If it was notified and
/// unwinds before that, it has not used the notification, and passes it on.
struct Notified<'a>(&'a Condvar, bool);

impl Notified<'_> {
    fn pass_on(&self) {
        if self.1 {
            self.0.notify_one();
        }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        self.pass_on();
    }
}

fn map<A, B>(result: LockResult<A>, f: impl FnOnce(A) -> B) -> LockResult<B> {
    match result {
        Ok(value) => Ok(f(value)),
        Err(error) => Err(PoisonError::new(f(error.into_inner()))),
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

/// Whether a wait with a timeout has timed out, like [`std::sync::WaitTimeoutResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Returns `true` if the timeout passed before a notification.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}
