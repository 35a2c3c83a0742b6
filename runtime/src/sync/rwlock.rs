//! `RwLock`: a reader-writer lock.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::poison::{Flag, PanickingAtLock, map_result};
use super::raw_rwlock::RawRwLock;
use crate::green::StaysOnItsOsThread;
use crate::primitive::const_fn_unless_loom;
use crate::thread::{charge, charge_failure};

/// A reader-writer lock, like [`std::sync::RwLock`]: it is held by many readers or by one writer.
///
/// It works between green threads and OS threads, as described in the [module docs](super). A green
/// thread may park while it holds the lock. Only the methods that say so park; dropping a guard
/// does not.
///
/// A green thread poisons the lock if it unwinds while it holds the lock as a writer. A reader does
/// not.
///
/// # Differences from std
///
/// - Waiters are served in FIFO order. Readers that are next to each other in the queue acquire the
///   lock together.
/// - A reader that arrives while a writer waits queues up behind the writer. A green thread must
///   therefore not acquire a second read guard before it drops the first. A writer may be waiting
///   in between, and neither could then continue.
/// - Unwinding is considered for each green thread, not for each OS thread. A kill or a timeout
///   that unwinds a writer poisons the lock, like a panic.
///
/// # Examples
///
/// ```
/// use evy::sync::RwLock;
///
/// let routes = RwLock::new(vec!["/"]);
/// assert_eq!(routes.read().unwrap().len(), 1);
/// routes.write().unwrap().push("/about");
/// assert_eq!(routes.into_inner().unwrap().len(), 2);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Flag,
    data: UnsafeCell<T>,
}

// SAFETY: the data may be dropped, or written, on any OS thread, so they must be `Send`.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers on several OS threads share the data, so they must be `Sync` too.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// If a panic leaves the data in an inconsistent state, the lock is poisoned.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    const_fn_unless_loom! {
        /// Creates a new, unlocked `RwLock`.
        #[must_use]
        pub fn new(value: T) -> Self {
            Self {
                raw: RawRwLock::new(),
                poison: Flag::new(),
                data: UnsafeCell::new(value),
            }
        }
    }

    /// Consumes the lock, returning the underlying data.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the data if the lock is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.is_poisoned();
        map_result(poisoned, self.data.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Acquires the lock for shared access, parking while a writer holds it or is queued ahead.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the guard if the lock is poisoned. The lock is acquired in
    /// this case too.
    ///
    /// # Panics
    ///
    /// Panics if there are more readers than can be counted.
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        charge(|| false);
        self.raw.read();
        self.read_guard()
    }

    /// Attempts to acquire the lock for shared access without parking.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if [`read`](Self::read) would have to park, and `Poisoned`, which
    /// contains the guard, if the lock is poisoned.
    ///
    /// # Panics
    ///
    /// Panics as `read` does.
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.raw.try_read() {
            Ok(self.read_guard()?)
        } else {
            charge_failure();
            Err(TryLockError::WouldBlock)
        }
    }

    /// Acquires the lock for exclusive access, parking until there is no other reader or writer.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the guard if the lock is poisoned. The lock is acquired in
    /// this case too.
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        charge(|| self.raw.is_held());
        self.raw.write();
        self.write_guard()
    }

    /// Attempts to acquire the lock for exclusive access without parking.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if [`write`](Self::write) would have to park, and `Poisoned`, which
    /// contains the guard, if the lock is poisoned.
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.raw.try_write() {
            Ok(self.write_guard()?)
        } else {
            charge_failure();
            Err(TryLockError::WouldBlock)
        }
    }

    /// Creates a guard, for a caller that holds the lock as a reader.
    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        map_result(self.is_poisoned(), RwLockReadGuard::new(self))
    }

    /// Creates a guard, for a caller that holds the lock as a writer.
    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let guard = RwLockWriteGuard {
            lock: self,
            panicking: PanickingAtLock::new(),
            owner: PhantomData,
        };
        map_result(self.is_poisoned(), guard)
    }

    /// Returns `true` if the lock is poisoned.
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Clears the poisoned state of the lock.
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// Returns a mutable reference to the underlying data.
    ///
    /// The mutable borrow of the lock excludes other users, so nothing is locked.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the reference if the lock is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.is_poisoned();
        map_result(poisoned, self.data.get_mut())
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => text.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => text.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => text.field("data", &format_args!("<locked>")),
        };
        text.field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

/// A guard that gives shared access to the data of a [`RwLock`], and releases the lock when it is
/// dropped.
#[must_use = "dropping the guard releases the lock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    /// A pointer, because a shared reference would have to stay valid until the end of `'a`, but
    /// the data is readable only until the guard is dropped. It is covariant like a reference, and
    /// makes the guard `!Send`, like std's.
    data: NonNull<T>,
    raw: &'a RawRwLock,
}

// SAFETY: a shared guard gives shared access to the data and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// Creates a guard, for a caller that holds the lock as a reader.
    fn new(lock: &'a RwLock<T>) -> Self {
        Self {
            data: NonNull::new(lock.data.get()).expect("a reference is not null"),
            raw: &lock.raw,
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY:
        // - the guard borrows the lock, so the data has not moved;
        // - there is no writer as long as the guard lives.
        unsafe { self.data.as_ref() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.raw.unlock_read();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A guard that gives exclusive access to the data of a [`RwLock`], and releases the lock when it
/// is dropped.
#[must_use = "dropping the guard releases the lock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    panicking: PanickingAtLock,
    /// Makes the guard `!Send`, like std's.
    owner: PhantomData<*const StaysOnItsOsThread>,
}

// SAFETY: a shared guard gives shared access to the data and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Atomically downgrades the write guard to a read guard: no other writer acquires the lock in
    /// between.
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let guard = ManuallyDrop::new(guard);
        guard.lock.poison.done(guard.panicking);
        guard.lock.raw.downgrade();
        RwLockReadGuard::new(guard.lock)
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is no other access to the data as long as the guard lives.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed mutably, so this is its only reference to the
        // data.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.done(self.panicking);
        self.lock.raw.unlock_write();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
