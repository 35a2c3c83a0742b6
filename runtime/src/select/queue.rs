//! Arms for the queues of one OS thread.

use std::fmt;

use super::arms::{Arm, Waits};
use super::standing::Standing;
use crate::queue::{AnyQueue, Ends};
use crate::thread::Ticket;

/// Ready when there is an item in `queue`, and gives it. As its `get`.
pub fn get<Q: AnyQueue>(queue: &Q) -> Get<'_, Q::Item> {
    let queue = queue.ends();
    Get {
        queue,
        place: Standing::new(queue.getters(), None),
    }
}

/// Ready when there is room in `queue`, and puts `item`. As its `put`.
pub fn put<Q: AnyQueue>(queue: &Q, item: Q::Item) -> Put<'_, Q::Item> {
    let queue = queue.ends();
    Put {
        queue,
        place: Standing::new(queue.putters(), Some(item)),
    }
}

/// See [`get`].
pub struct Get<'a, T> {
    queue: &'a dyn Ends<T>,
    place: Standing<'a, T>,
}

impl<T> Waits for Get<'_, T> {
    unsafe fn enter(&self, ticket: Ticket) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.place.enter(ticket) };
        true
    }

    fn leave(&self) {
        self.place.leave();
    }

    fn undo(&self) {
        if let Some(item) = self.place.take() {
            self.queue.un_get(item);
        }
    }
}

impl<T> Arm for Get<'_, T> {
    type Output = T;

    fn attempt(&self) -> Option<T> {
        self.queue.try_get()
    }

    fn finish(&self) -> Option<T> {
        self.place.take()
    }
}

/// See [`put`].
pub struct Put<'a, T> {
    queue: &'a dyn Ends<T>,
    /// With the item, until somebody takes it.
    place: Standing<'a, T>,
}

impl<T> Waits for Put<'_, T> {
    unsafe fn enter(&self, ticket: Ticket) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.place.enter(ticket) };
        true
    }

    fn leave(&self) {
        self.place.leave();
    }
}

impl<T> Arm for Put<'_, T> {
    type Output = ();

    fn attempt(&self) -> Option<()> {
        let refused = self.queue.try_put(self.place.take()?).err();
        let done = refused.is_none();
        self.place.bring(refused);
        done.then_some(())
    }

    fn finish(&self) -> Option<()> {
        Some(())
    }
}

impl<T> fmt::Debug for Get<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Put<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put").finish_non_exhaustive()
    }
}
