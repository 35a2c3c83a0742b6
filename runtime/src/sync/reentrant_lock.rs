//! `ReentrantLock`: a lock that its holder can take again, like the lock of [`std::io::Stdout`].

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::raw_mutex::RawMutex;
use crate::sched;
use crate::thread::charge;

/// No green thread has this id.
const NONE: u64 = 0;

/// A lock that a green thread may take several times. It is released with the last guard.
///
/// It gives shared access to the data only, because its holder may have several guards.
#[derive(Debug)]
pub(crate) struct ReentrantLock<T> {
    raw: RawMutex,
    /// The id of the green thread that holds the lock.
    owner: AtomicU64,
    /// Its OS thread, as [`os_thread`] returns it. Zero if the lock is free.
    os_thread: AtomicUsize,
    /// The number of guards. Only the OS thread of the owner touches it.
    guards: Cell<u32>,
    data: T,
}

// SAFETY: the data and `guards` are touched only by guards and by the owner. These stay on the OS
// thread that holds the lock, because a guard is not `Send`. So the data must be `Send`, and need
// not be `Sync`.
unsafe impl<T: Send> Sync for ReentrantLock<T> {}
// As the locks of std's streams.
impl<T: UnwindSafe> UnwindSafe for ReentrantLock<T> {}
impl<T: UnwindSafe> RefUnwindSafe for ReentrantLock<T> {}

impl<T> ReentrantLock<T> {
    pub(crate) const fn new(data: T) -> Self {
        Self {
            raw: RawMutex::new(),
            owner: AtomicU64::new(NONE),
            os_thread: AtomicUsize::new(0),
            guards: Cell::new(0),
            data,
        }
    }

    /// Takes the lock, parking until no other green thread has it.
    pub(crate) fn lock(&self) -> ReentrantLockGuard<'_, T> {
        let me = sched::current().running().id();
        // If it is equal, then this green thread has stored it. Nothing else follows from it.
        if self.owner.load(Ordering::Relaxed) != me {
            charge(|| self.raw.is_locked());
            self.raw.lock();
            self.owner.store(me, Ordering::Relaxed);
            self.os_thread.store(os_thread(), Ordering::Relaxed);
        }
        self.guard()
    }

    /// Takes the lock if it is free, or joins a holder of this OS thread. For the exit of the process,
    /// where evy does not work any more and no other green thread will run.
    pub(crate) fn lock_at_exit(&self) -> Option<ReentrantLockGuard<'_, T>> {
        let is_available =
            self.raw.try_lock() || self.os_thread.load(Ordering::Relaxed) == os_thread();
        is_available.then(|| self.guard())
    }

    /// Creates a guard, for a caller that holds the lock.
    fn guard(&self) -> ReentrantLockGuard<'_, T> {
        let guards = self.guards.get().checked_add(1);
        self.guards.set(guards.expect("a lock has too many guards"));
        ReentrantLockGuard {
            lock: self,
            not_send: PhantomData,
        }
    }
}

/// Gives access to the data of a [`ReentrantLock`].
#[derive(Debug)]
pub(crate) struct ReentrantLockGuard<'a, T> {
    lock: &'a ReentrantLock<T>,
    not_send: PhantomData<*const ()>,
}

impl<T> Deref for ReentrantLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.lock.data
    }
}

impl<T> Drop for ReentrantLockGuard<'_, T> {
    fn drop(&mut self) {
        let left = self.lock.guards.get() - 1;
        self.lock.guards.set(left);
        if left == 0 {
            self.lock.owner.store(NONE, Ordering::Relaxed);
            self.lock.os_thread.store(0, Ordering::Relaxed);
            self.lock.raw.unlock();
        }
    }
}

/// Returns a number that identifies the calling OS thread, and is not zero. Unlike
/// `std::thread::current`, it works until the very end of the OS thread.
fn os_thread() -> usize {
    // SAFETY: the function has no preconditions.
    unsafe { libc::pthread_self() as usize }
}
