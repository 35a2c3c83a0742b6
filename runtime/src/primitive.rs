//! The cells, atomics and the lock below everything that OS threads share. `tests/models` puts loom's
//! in their place, to try every interleaving of the protocols that are built on them.

pub(crate) use std::cell::Cell;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// Declares a constructor: `const` here, while loom's primitives are made at run time.
macro_rules! const_fn_unless_loom {
    ($(#[$attribute:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$attribute])*
        $vis const fn $($rest)*
    };
}
pub(crate) use const_fn_unless_loom;

/// Nobody panics while holding an inner lock, so it is never poisoned.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
