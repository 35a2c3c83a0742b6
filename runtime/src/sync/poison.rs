//! Poisoning: marks a lock if its holder unwinds while it holds the lock.

use std::sync::{LockResult, PoisonError};

use crate::primitive::{AtomicBool, Ordering, const_fn_unless_loom};
use crate::thread::panicking;

/// Whether a holder has unwound while it held the lock.
#[derive(Debug)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    const_fn_unless_loom! {
        pub(super) fn new() -> Self {
            Self(AtomicBool::new(false))
        }
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Poisons the lock if its holder unwinds, and did not when it acquired the lock. Called when a
    /// guard is dropped; `at_lock` was created with the guard.
    #[inline]
    pub(super) fn done(&self, at_lock: PanickingAtLock) {
        if !at_lock.0 && panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether the holder of a lock was unwinding when it acquired the lock. A destructor may lock
/// while its green thread unwinds, and this does not poison the lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct PanickingAtLock(bool);

impl PanickingAtLock {
    #[inline]
    pub(super) fn new() -> Self {
        Self(panicking())
    }
}

/// Returns `value`, as an error if the lock is poisoned.
#[inline]
pub(super) fn map_result<G>(poisoned: bool, value: G) -> LockResult<G> {
    if poisoned {
        Err(PoisonError::new(value))
    } else {
        Ok(value)
    }
}
