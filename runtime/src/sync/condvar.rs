//! `Condvar`, as std's.

use std::fmt;
use std::sync::{LockResult, PoisonError};
use std::time::{Duration, Instant};

use super::mutex::MutexGuard;
use super::wait_list::{PendingUnpark, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{Mutex, const_fn_unless_loom, lock};
use crate::thread::deadline_after_any_thread;

/// Waits for a condition on what a [`Mutex`](super::Mutex) protects, as [`std::sync::Condvar`].
///
/// Waiters are notified in the order in which they came. A waiter that is killed or times out after
/// it was notified passes the notification on. Differs from std: none returns without having been
/// notified.
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
        /// A condition variable without waiters. Never parks.
        #[must_use]
        pub fn new() -> Self {
            Self {
                waiters: Mutex::new(WaitList::new()),
            }
        }
    }

    /// Releases the lock, parks until notified, and takes the lock again.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the error has the guard.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        map(self.wait_until(guard, None), |(guard, _)| guard)
    }

    /// As [`wait`](Self::wait), again and again while `condition` is true.
    ///
    /// # Errors
    ///
    /// As `wait`.
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

    /// As [`wait`](Self::wait), but parks for `timeout` at most, until the lock is to be taken again.
    ///
    /// # Errors
    ///
    /// As `wait`.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.wait_until(guard, deadline_after_any_thread(timeout))
    }

    /// As [`wait_while`](Self::wait_while), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As `wait`.
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
        };
        // It is in the queue before the lock is released: who changes the condition finds it there.
        let release = || drop(guard);
        let renotify = |_| self.notify_one();
        let outcome = wait.park_with(waiters, None, release, |_| {}, renotify);
        let timed_out = WaitTimeoutResult(outcome.is_err());
        let notified = Notified(self, outcome.is_ok());
        let again = mutex.lock();
        std::mem::forget(notified);
        map(again, |guard| (guard, timed_out))
    }

    /// Notifies whoever has waited longest. Never parks.
    pub fn notify_one(&self) {
        let pending = lock(&self.waiters).notify_front(|_| ());
        if let Some((pending, ())) = pending {
            pending.unpark();
        }
    }

    /// Notifies all who wait now. Never parks.
    pub fn notify_all(&self) {
        // The lock is released before anybody is unparked.
        let all = lock(&self.waiters).notify_all();
        all.into_iter().for_each(PendingUnpark::unpark);
    }
}

/// Has used its notification up only when it has the lock again.
struct Notified<'a>(&'a Condvar, bool);

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.notify_one();
        }
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

/// How a wait with a timeout has ended; as [`std::sync::WaitTimeoutResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was up before anybody notified.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}
