//! Arms for what else green threads of one OS thread wait for: an end, an event, a permit.

use std::fmt;

use super::arms::{Arm, SelectHandle};
use super::queue_entry::QueueEntry;
use crate::event::{Event, EventError, Sent};
use crate::semaphore::{Semaphore, SemaphoreGuard};
use crate::thread::{JoinError, JoinHandle, SelectToken};

/// Ready when the green thread has ended, and gives its result. As
/// [`JoinHandle::take_result`], which can be had once.
pub fn join<T>(handle: &JoinHandle<T>) -> Join<'_, T> {
    Join {
        handle,
        entry: QueueEntry::new(handle.joiners(), None),
    }
}

/// Ready when `event` has happened, and gives what it was sent with. As [`Event::wait`].
pub fn wait<T: Clone>(event: &Event<T>) -> Wait<'_, T> {
    Wait {
        event,
        entry: QueueEntry::new(event.waiters(), None),
    }
}

/// Ready when there is a permit, and gives it. As [`Semaphore::acquire_guard`].
pub fn acquire(semaphore: &Semaphore) -> Acquire<'_> {
    Acquire {
        semaphore,
        entry: QueueEntry::new(semaphore.waiters(), None),
    }
}

/// See [`join`].
pub struct Join<'a, T> {
    handle: &'a JoinHandle<T>,
    entry: QueueEntry<'a, ()>,
}

impl<T> SelectHandle for Join<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }
}

impl<T> Arm for Join<'_, T> {
    type Output = Result<T, JoinError>;

    fn try_select(&self) -> Option<Self::Output> {
        self.handle.is_finished().then(|| self.handle.take_result())
    }
}

/// See [`wait`].
pub struct Wait<'a, T> {
    event: &'a Event<T>,
    entry: QueueEntry<'a, Sent<T>>,
}

impl<T> SelectHandle for Wait<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }
}

impl<T: Clone> Arm for Wait<'_, T> {
    type Output = Result<T, EventError>;

    fn try_select(&self) -> Option<Self::Output> {
        self.event.sent()
    }

    fn accept(&self) -> Option<Self::Output> {
        self.entry.take().map(|sent| Result::clone(&sent))
    }
}

/// See [`acquire`].
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    entry: QueueEntry<'a, ()>,
}

impl SelectHandle for Acquire<'_> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: passed on to the caller.
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

impl<T> fmt::Debug for Join<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Wait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").finish_non_exhaustive()
    }
}
