//! Poison: a lock that was held by a green thread while that unwound.

use crate::primitive::{AtomicBool, Ordering, constructor};
use crate::thread::unwinding;

/// Whether somebody has unwound while holding the lock.
#[derive(Debug)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    constructor! {
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

    /// At the end of a guard that began with `witness`.
    #[inline]
    pub(super) fn observe(&self, witness: Witness) {
        if !witness.unwinding && unwinding() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// What the holder of a lock did when it got it: a destructor may lock while its green thread
/// unwinds, and does not poison thereby.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness {
    unwinding: bool,
}

impl Witness {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            unwinding: unwinding(),
        }
    }
}
