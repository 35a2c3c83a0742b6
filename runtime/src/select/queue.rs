//! Arms for the queues of one OS thread.

use std::cell::Cell;
use std::fmt;

use super::arms::{Arm, Waits};
use crate::queue::{AnyQueue, Ends};
use crate::sched;
use crate::thread::{Entry, Ticket};

/// Ready when there is an item in `queue`, and gives it. As its `get`.
pub fn get<Q: AnyQueue>(queue: &Q) -> Get<'_, Q::Item> {
    Get {
        queue: queue.ends(),
        place: Entry::new(sched::current(), None),
    }
}

/// Ready when there is room in `queue`, and puts `item`. As its `put`.
pub fn put<Q: AnyQueue>(queue: &Q, item: Q::Item) -> Put<'_, Q::Item> {
    Put {
        queue: queue.ends(),
        item: Cell::new(Some(item)),
        place: Entry::new(sched::current(), None),
    }
}

/// See [`get`].
pub struct Get<'a, T> {
    queue: &'a dyn Ends<T>,
    place: Entry<T>,
}

impl<T> Waits for Get<'_, T> {
    unsafe fn enter(&self, ticket: Ticket) -> bool {
        self.place.prepare(sched::current(), None, ticket);
        // SAFETY: the arm stays where it is until it has left, and the choice as long (caller).
        unsafe { self.place.enter(self.queue.getters()) };
        true
    }

    fn leave(&self) {
        // SAFETY: entered there, if anywhere.
        unsafe { self.place.leave(self.queue.getters()) };
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
    /// Unless it is in the place.
    item: Cell<Option<T>>,
    place: Entry<T>,
}

impl<T> Waits for Put<'_, T> {
    unsafe fn enter(&self, ticket: Ticket) -> bool {
        let scheduler = sched::current();
        self.place.prepare(scheduler, self.item.take(), ticket);
        // SAFETY: the arm stays where it is until it has left, and the choice as long (caller).
        unsafe { self.place.enter(self.queue.putters()) };
        true
    }

    fn leave(&self) {
        // SAFETY: entered there, if anywhere.
        unsafe { self.place.leave(self.queue.putters()) };
        if let Some(item) = self.place.take() {
            self.item.set(Some(item));
        }
    }
}

impl<T> Arm for Put<'_, T> {
    type Output = ();

    fn attempt(&self) -> Option<()> {
        let refused = self.queue.try_put(self.item.take()?).err();
        let done = refused.is_none();
        self.item.set(refused);
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
