//! `RwLock`, as std's.

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
use crate::primitive::const_fn_unless_loom;

/// Many readers or one writer, as [`std::sync::RwLock`]: between green threads of one OS thread or of
/// several, and OS threads without any. It may be held while parking.
///
/// First come, first served, where readers that stand side by side go together; a reader that comes
/// while a writer waits queues up behind. So whoever reads must not read again before it is done.
///
/// A green thread that unwinds while it writes poisons the lock; one that reads does not.
///
/// # Examples
///
/// ```
/// use evy::sync::RwLock;
///
/// let routes = RwLock::new(vec!["/"]);
/// {
///     let (one, two) = (routes.read().unwrap(), routes.read().unwrap());
///     assert_eq!(one.len(), two.len());
/// }
/// routes.write().unwrap().push("/about");
/// assert_eq!(routes.into_inner().unwrap().len(), 2);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Flag,
    data: UnsafeCell<T>,
}

// SAFETY: the data may be dropped, or written, on any OS thread: they must be `Send`.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers on several OS threads share the data: they must be `Sync` as well.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// What a panic has left half done is poisoned.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    const_fn_unless_loom! {
        /// An unlocked lock. Never parks.
        #[must_use]
        pub fn new(value: T) -> Self {
            Self {
                raw: RawRwLock::new(),
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

impl<T: ?Sized> RwLock<T> {
    /// Parks until nobody writes, nor waits to since before.
    ///
    /// # Errors
    ///
    /// If it is poisoned; the error has the guard.
    ///
    /// # Panics
    ///
    /// If there are more readers than can be counted.
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.raw.read();
        self.read_guard()
    }

    /// As [`read`](Self::read), if it need not park.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it would have to park; `Poisoned`, with the guard, if it is poisoned.
    ///
    /// # Panics
    ///
    /// As `read`.
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.raw.try_read() {
            Ok(self.read_guard()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Parks until nobody reads or writes.
    ///
    /// # Errors
    ///
    /// If it is poisoned; the error has the guard.
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.raw.write();
        self.write_guard()
    }

    /// As [`write`](Self::write), if it need not park.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.raw.try_write() {
            Ok(self.write_guard()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// For who reads.
    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        map_result(self.is_poisoned(), RwLockReadGuard::new(self))
    }

    /// For who writes.
    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let guard = RwLockWriteGuard {
            lock: self,
            panicking: PanickingAtLock::new(),
            not_send: PhantomData,
        };
        map_result(self.is_poisoned(), guard)
    }

    /// Whether somebody has unwound while writing. Never parks.
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

/// The data of a [`RwLock`], to read; dropping it never parks.
#[must_use = "dropping the guard releases the lock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    /// Covariant, as a shared reference, but good only until the guard is dropped. Not `Send`, as in
    /// std.
    data: NonNull<T>,
    raw: &'a RawRwLock,
}

// SAFETY: a shared guard gives shared access to the data and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// For who reads.
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
        // SAFETY: the lock is borrowed by the guard, so the data are where they were; as long as it
        // lives, nobody writes.
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

/// The data of a [`RwLock`], to write; dropping it never parks.
#[must_use = "dropping the guard releases the lock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    panicking: PanickingAtLock,
    /// As in std.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the data and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader, without anybody writing in between. Never parks.
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
        // SAFETY: as long as the guard lives, nobody else has the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed by one alone.
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
