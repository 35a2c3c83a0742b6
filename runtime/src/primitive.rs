//! The cells, atomics and the lock that everything shared between OS threads is built on.
//!
//! `tests/models` replaces them by those of loom, to try every interleaving of the protocols.

pub(crate) use std::cell::Cell;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

use crate::pthread_identity::as_os_thread;

/// Declares a constructor as `const fn`. The models in `tests/models` have a macro of the same
/// name, which leaves out `const`, because loom creates its primitives at run time.
macro_rules! const_fn_unless_loom {
    ($(#[$attribute:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$attribute])*
        $vis const fn $($rest)*
    };
}
pub(crate) use const_fn_unless_loom;

/// Locks an inner mutex. It is never poisoned, because no code panics while it holds an inner lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    use std::sync::TryLockError;
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(error)) => error.into_inner(),
        Err(TryLockError::WouldBlock) => lock_contended(mutex),
    }
}

/// Waits for an inner mutex. It is held briefly, so this blocks the OS thread.
///
/// It waits as the OS thread, because the holder may be starting another one
/// ([`crate::pthread_identity`]).
#[cold]
fn lock_contended<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // SAFETY: std's lock does not unwind, and the mutex is not thread-local.
    let locked = unsafe { as_os_thread(|| mutex.lock()) };
    locked.unwrap_or_else(std::sync::PoisonError::into_inner)
}
