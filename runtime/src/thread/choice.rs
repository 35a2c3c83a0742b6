//! One green thread in several queues: it is woken by the first, and the others pass it over.

use std::ptr::NonNull;

use crate::primitive::{AtomicUsize, Ordering, constructor};

/// Which of several waits has come to its end, if any. It lies in the frame of whoever waits.
#[derive(Debug)]
pub struct Choice(AtomicUsize);

const OPEN: usize = usize::MAX;

impl Choice {
    constructor! {
        pub(crate) fn new() -> Self {
            Self(AtomicUsize::new(OPEN))
        }
    }

    /// The right to make the choice fall on `index`.
    pub(crate) fn ticket(&self, index: usize) -> Ticket {
        Ticket {
            choice: NonNull::from(self),
            index,
        }
    }

    pub(crate) fn made(&self) -> Option<usize> {
        match self.0.load(Ordering::Acquire) {
            OPEN => None,
            index => Some(index),
        }
    }
}

/// `[linked-is-pinned]` It lies in a wait node, which is unlinked before the choice's frame goes; it
/// is followed only while that is linked, or by whoever has unlinked it under the same lock.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    choice: NonNull<Choice>,
    index: usize,
}

impl Ticket {
    /// Whether both are of one choice.
    pub(crate) fn is_kin(self, other: Self) -> bool {
        self.choice == other.choice
    }

    /// Whether the choice is still to be made.
    ///
    /// # Safety
    ///
    /// The choice lives: see the type.
    pub(crate) unsafe fn is_open(self) -> bool {
        // SAFETY: it lives (caller).
        unsafe { self.choice.as_ref() }.made().is_none()
    }

    /// Makes the choice; `false` if it was made before.
    ///
    /// # Safety
    ///
    /// The choice lives: see the type.
    pub(crate) unsafe fn claim(self) -> bool {
        // SAFETY: it lives (caller).
        let choice = unsafe { self.choice.as_ref() };
        choice
            .0
            .compare_exchange(OPEN, self.index, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}
