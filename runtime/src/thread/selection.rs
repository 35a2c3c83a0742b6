//! `Selection`: one green thread waits in several queues. The first queue to select it wakes it,
//! and the others skip it.

use std::ptr::NonNull;

use crate::primitive::{AtomicUsize, Ordering, const_fn_unless_loom};

/// Records which of several waits has ended, if any. It lies in the frame of the waiter.
#[derive(Debug)]
pub struct Selection(AtomicUsize);

const WAITING: usize = usize::MAX;

impl Selection {
    const_fn_unless_loom! {
        pub(crate) fn new() -> Self {
            Self(AtomicUsize::new(WAITING))
        }
    }

    /// Returns a token that can select `index`.
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

/// Permission to complete a [`Selection`] with one index.
///
/// `[linked-is-pinned]`
/// - A token lies in a wait node, which is unlinked before the frame of the selection is left.
/// - The token is followed only while the node is linked, or by the code that has unlinked the node
///   under the same lock.
#[derive(Clone, Copy, Debug)]
pub struct SelectToken {
    selection: NonNull<Selection>,
    index: usize,
}

impl SelectToken {
    /// Whether both tokens belong to the same selection.
    pub(crate) fn same_selection(self, other: Self) -> bool {
        self.selection == other.selection
    }

    /// Whether no index has been selected yet.
    ///
    /// # Safety
    ///
    /// The selection is live; see the type.
    pub(crate) unsafe fn is_waiting(self) -> bool {
        // SAFETY: it is live (caller).
        unsafe { self.selection.as_ref() }.selected().is_none()
    }

    /// Selects this token's index. Returns `false` if an index was selected before.
    ///
    /// # Safety
    ///
    /// The selection is live; see the type.
    pub(crate) unsafe fn try_select(self) -> bool {
        // SAFETY: it is live (caller).
        let selection = unsafe { self.selection.as_ref() };
        selection
            .0
            .compare_exchange(WAITING, self.index, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}
