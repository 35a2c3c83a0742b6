//! Poison: a lock that was held by a green thread while that unwound.

use std::sync::{LockResult, PoisonError};

use crate::primitive::{AtomicBool, Ordering, const_fn_unless_loom};
use crate::thread::panicking;

/// Whether somebody has unwound while holding the lock.
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

    /// At the end of a guard that began with `panicking`.
    #[inline]
    pub(super) fn done(&self, at_lock: PanickingAtLock) {
        if !at_lock.0 && panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// What the holder of a lock did when it got it: a destructor may lock while its green thread
/// unwinds, and does not poison thereby.
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
