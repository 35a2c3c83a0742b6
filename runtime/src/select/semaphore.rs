//! The `acquire` arm.

use std::fmt;

use super::arms::{Arm, SelectHandle};
use super::queue_entry::QueueEntry;
use crate::semaphore::{Semaphore, SemaphoreGuard};
use crate::thread::SelectToken;

/// Returns an arm that is ready when a permit is available. Its output is the guard of the permit,
/// like that of [`Semaphore::acquire_guard`].
pub fn acquire(semaphore: &Semaphore) -> Acquire<'_> {
    Acquire {
        semaphore,
        entry: QueueEntry::new(semaphore.waiters(), None),
    }
}

/// The arm returned by [`acquire`].
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    entry: QueueEntry<'a, ()>,
}

impl SelectHandle for Acquire<'_> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }

    fn release(&self) {
        self.semaphore.release();
    }
}

impl Arm for Acquire<'_> {
    type Output = SemaphoreGuard;

    fn try_select(&self) -> Option<SemaphoreGuard> {
        self.semaphore.try_acquire_guard()
    }

    fn accept(&self) -> Option<SemaphoreGuard> {
        Some(self.semaphore.adopt())
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").finish_non_exhaustive()
    }
}
