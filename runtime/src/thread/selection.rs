//! One green thread in several queues: it is woken by the first, and the others pass it over.

use std::ptr::NonNull;

use crate::primitive::{AtomicUsize, Ordering, const_fn_unless_loom};

/// Which of several waits has come to its end, if any. It lies in the frame of whoever waits.
#[derive(Debug)]
pub struct Selection(AtomicUsize);

const WAITING: usize = usize::MAX;

impl Selection {
    const_fn_unless_loom! {
        pub(crate) fn new() -> Self {
            Self(AtomicUsize::new(WAITING))
        }
    }

    /// The right to make the selection fall on `index`.
    pub(crate) fn token(&self, index: usize) -> SelectToken {
        SelectToken {
            selection: NonNull::from(self),
            index,
        }
    }

    pub(crate) fn selected(&self) -> Option<usize> {
        match self.0.load(Ordering::Acquire) {
            WAITING => None,
            index => Some(index),
        }
    }
}

/// `[linked-is-pinned]` It lies in a wait node, which is unlinked before the selection's frame goes; it
/// is followed only while that is linked, or by whoever has unlinked it under the same lock.
#[derive(Clone, Copy, Debug)]
pub struct SelectToken {
    selection: NonNull<Selection>,
    index: usize,
}

impl SelectToken {
    /// Whether both are of one selection.
    pub(crate) fn same_selection(self, other: Self) -> bool {
        self.selection == other.selection
    }

    /// Whether the selection is still to be selected.
    ///
    /// # Safety
    ///
    /// The selection lives: see the type.
    pub(crate) unsafe fn is_waiting(self) -> bool {
        // SAFETY: it lives (caller).
        unsafe { self.selection.as_ref() }.selected().is_none()
    }

    /// Makes the selection; `false` if it was selected before.
    ///
    /// # Safety
    ///
    /// The selection lives: see the type.
    pub(crate) unsafe fn try_select(self) -> bool {
        // SAFETY: it lives (caller).
        let selection = unsafe { self.selection.as_ref() };
        selection
            .0
            .compare_exchange(WAITING, self.index, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}
