//! Arms for what else green threads of one OS thread wait for: an end, an event, a permit.

use std::fmt;

use super::arms::{Arm, Waits};
use super::standing::Standing;
use crate::event::{Event, EventError, Sent};
use crate::semaphore::{Permit, Semaphore};
use crate::thread::{JoinError, JoinHandle, Ticket};

/// Ready when the green thread has ended, and gives its result. As
/// [`JoinHandle::take_result`], which can be had once.
pub fn join<T>(handle: &JoinHandle<T>) -> Join<'_, T> {
    Join {
        handle,
        place: Standing::new(handle.joiners(), None),
    }
}

/// Ready when `event` has happened, and gives what it was sent with. As [`Event::wait`].
pub fn wait<T: Clone>(event: &Event<T>) -> Wait<'_, T> {
    Wait {
        event,
        place: Standing::new(event.waiters(), None),
    }
}

/// Ready when there is a permit, and gives it. As [`Semaphore::access`].
pub fn acquire(semaphore: &Semaphore) -> Acquire<'_> {
    Acquire {
        semaphore,
        place: Standing::new(semaphore.waiters(), None),
    }
}

/// See [`join`].
pub struct Join<'a, T> {
    handle: &'a JoinHandle<T>,
    place: Standing<'a, ()>,
}

impl<T> Waits for Join<'_, T> {
    unsafe fn enter(&self, ticket: Ticket) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.place.enter(ticket) };
        true
    }

    fn leave(&self) {
        self.place.leave();
    }
}

impl<T> Arm for Join<'_, T> {
    type Output = Result<T, JoinError>;

    fn attempt(&self) -> Option<Self::Output> {
        self.handle.is_finished().then(|| self.handle.take_result())
    }
}

/// See [`wait`].
pub struct Wait<'a, T> {
    event: &'a Event<T>,
    place: Standing<'a, Sent<T>>,
}

impl<T> Waits for Wait<'_, T> {
    unsafe fn enter(&self, ticket: Ticket) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.place.enter(ticket) };
        true
    }

    fn leave(&self) {
        self.place.leave();
    }
}

impl<T: Clone> Arm for Wait<'_, T> {
    type Output = Result<T, EventError>;

    fn attempt(&self) -> Option<Self::Output> {
        self.event.sent()
    }

    fn finish(&self) -> Option<Self::Output> {
        self.place.take().map(|sent| Result::clone(&sent))
    }
}

/// See [`acquire`].
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    place: Standing<'a, ()>,
}

impl Waits for Acquire<'_> {
    unsafe fn enter(&self, ticket: Ticket) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.place.enter(ticket) };
        true
    }

    fn leave(&self) {
        self.place.leave();
    }

    fn undo(&self) {
        self.semaphore.release();
    }
}

impl Arm for Acquire<'_> {
    type Output = Permit;

    fn attempt(&self) -> Option<Permit> {
        self.semaphore.try_access()
    }

    fn finish(&self) -> Option<Permit> {
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
