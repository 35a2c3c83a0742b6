//! `Mutex`: a mutual exclusion lock.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::poison::{Flag, PanickingAtLock, map_result};
use super::raw_mutex::RawMutex;
use crate::green::StaysOnItsOsThread;
use crate::primitive::const_fn_unless_loom;
use crate::thread::{charge, charge_failure};

/// A mutual exclusion lock, like [`std::sync::Mutex`].
///
/// It works between green threads and OS threads, as described in the [module docs](super). A green
/// thread may park while it holds the lock. Only the methods that say so park; dropping a guard
/// does not.
///
/// A green thread poisons the mutex if it unwinds while it holds the lock, because it panics, is
/// killed or times out.
///
/// # Differences from std
///
/// - Waiters are served in FIFO order, except that an unlocked mutex may be taken by a new arrival.
///   A waiter that is woken loses the mutex to new arrivals at most once; after that it is handed
///   the mutex.
/// - Unwinding is considered per green thread. One that unwinds does not poison a mutex that
///   another one of the same OS thread holds.
///
/// # Examples
///
/// ```
/// use evy::sync::{Arc, Mutex};
///
/// let count = Arc::new(Mutex::new(0));
/// let adders: Vec<_> = (0..10)
///     .map(|_| {
///         let count = Arc::clone(&count);
///         evy::spawn(move || {
///             let mut count = count.lock().unwrap();
///             evy::yield_now();
///             *count += 1;
///         })
///     })
///     .collect();
/// adders.into_iter().for_each(|adder| adder.join().unwrap());
/// assert_eq!(*count.lock().unwrap(), 10);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Flag,
    data: UnsafeCell<T>,
}

// SAFETY:
// - one holder at a time has access to the data, on any OS thread, so the data must be `Send`;
// - a shared reference to the data comes only from a guard, and there is one guard at a time, so
//   the data need not be `Sync`.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// If a panic leaves the data in an inconsistent state, the mutex is poisoned.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    const_fn_unless_loom! {
        /// Creates a new mutex in an unlocked state.
        #[must_use]
        pub fn new(value: T) -> Self {
            Self {
                raw: RawMutex::new(),
                poison: Flag::new(),
                data: UnsafeCell::new(value),
            }
        }
    }

    /// Consumes the mutex, returning the underlying data.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the data if the mutex is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.is_poisoned();
        map_result(poisoned, self.data.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Acquires the mutex, parking until it is available.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the guard if the mutex is poisoned. The mutex is acquired in
    /// this case too.
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        charge(|| self.raw.is_locked());
        self.raw.lock();
        self.guard()
    }

    /// Attempts to acquire the mutex without parking.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if the mutex is held, and `Poisoned`, which contains the guard, if it
    /// is poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.raw.try_lock() {
            Ok(self.guard()?)
        } else {
            charge_failure();
            Err(TryLockError::WouldBlock)
        }
    }

    /// Creates a guard, for a caller that holds the lock.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard {
            mutex: self,
            panicking: PanickingAtLock::new(),
            owner: PhantomData,
        };
        map_result(self.is_poisoned(), guard)
    }

    /// Returns `true` if the mutex is poisoned.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Clears the poisoned state of the mutex.
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// Returns a mutable reference to the underlying data.
    ///
    /// The mutable borrow of the mutex excludes other users, so nothing is locked.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the reference if the mutex is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.is_poisoned();
        map_result(poisoned, self.data.get_mut())
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => text.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => text.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => text.field("data", &format_args!("<locked>")),
        };
        text.field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

/// A guard that gives access to the data of a [`Mutex`], and releases the mutex when it is dropped.
#[must_use = "dropping the guard releases the lock"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    panicking: PanickingAtLock,
    /// Makes the guard `!Send`, like std's: the green thread that drops it is the one that is
    /// checked for unwinding.
    owner: PhantomData<*const StaysOnItsOsThread>,
}

// SAFETY: a shared guard gives shared access to the data and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held as long as the guard lives, so there is no other access to the
        // data.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed mutably, so this is its only reference to the
        // data.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.done(self.panicking);
        self.mutex.raw.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
