//! `Mutex`, as std's.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::poison::{Flag, PanickingAtLock, map_result};
use super::raw_mutex::RawMutex;
use crate::primitive::const_fn_unless_loom;

/// Mutual exclusion, as [`std::sync::Mutex`]: between green threads of one OS thread or of several,
/// and OS threads without any. It may be held while parking.
///
/// Who comes first is served first, but for one thing: who finds the lock free takes it, so that a
/// waiter may be passed over, once.
///
/// A green thread that unwinds while it holds the lock poisons it: it panics, is killed, or times out.
/// A neighbour that unwinds meanwhile does not.
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

// SAFETY: the data go to one at a time, which may be on any OS thread: they must be `Send`. A shared
// reference to them comes from a guard alone, which one has at a time.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// What a panic has left half done is poisoned.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    const_fn_unless_loom! {
        /// An unlocked mutex. Never parks.
        #[must_use]
        pub fn new(value: T) -> Self {
            Self {
                raw: RawMutex::new(),
                poison: Flag::new(),
                data: UnsafeCell::new(value),
            }
        }
    }

    /// Takes the data out. Never parks.
    ///
    /// # Errors
    ///
    /// If it is poisoned; the error has the data.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.is_poisoned();
        map_result(poisoned, self.data.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Parks until the lock is held.
    ///
    /// # Errors
    ///
    /// If it is poisoned; the error has the guard.
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock();
        self.guard()
    }

    /// The lock, if it is free. Never parks.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it is held; `Poisoned`, with the guard, if it is poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.raw.try_lock() {
            Ok(self.guard()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// For who holds the lock.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard {
            mutex: self,
            panicking: PanickingAtLock::new(),
            not_send: PhantomData,
        };
        map_result(self.is_poisoned(), guard)
    }

    /// Whether somebody has unwound while holding the lock. Never parks.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Declares the data to be in order. Never parks.
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The data, which nobody else can have. Never parks.
    ///
    /// # Errors
    ///
    /// If it is poisoned; the error has the data.
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

/// The data of a held [`Mutex`]; dropping it releases the lock, and never parks.
#[must_use = "dropping the guard releases the lock"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    panicking: PanickingAtLock,
    /// As in std: whether the holder unwinds is asked where the guard is dropped.
    not_send: PhantomData<*const ()>,
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
        // SAFETY: the lock is held as long as the guard lives, so nobody else has the data.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed by one alone.
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
