//! The `get` and `put` arms, for the queues of one OS thread.

use std::fmt;

use super::arms::{Arm, SelectHandle};
use super::queue_entry::QueueEntry;
use crate::queue::{AnyQueue, SelectQueue};
use crate::thread::SelectToken;

/// Returns an arm that is ready when `queue` has an item. Its output is the item.
pub fn get<Q: AnyQueue>(queue: &Q) -> Get<'_, Q::Item> {
    let queue = queue.as_select();
    Get {
        queue,
        entry: QueueEntry::new(queue.getters(), None),
    }
}

/// Returns an arm that is ready when `queue` has room, and puts `item` if it is selected.
pub fn put<Q: AnyQueue>(queue: &Q, item: Q::Item) -> Put<'_, Q::Item> {
    let queue = queue.as_select();
    Put {
        queue,
        entry: QueueEntry::new(queue.putters(), Some(item)),
    }
}

/// The arm returned by [`get`].
pub struct Get<'a, T> {
    queue: &'a dyn SelectQueue<T>,
    entry: QueueEntry<'a, T>,
}

impl<T> SelectHandle for Get<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }

    fn release(&self) {
        self.queue.pass_on(self.entry.take());
    }
}

impl<T> Arm for Get<'_, T> {
    type Output = T;

    fn try_select(&self) -> Option<T> {
        self.queue.try_get()
    }

    fn accept(&self) -> Option<T> {
        // Without an item in the slot, there is one in the queue.
        self.entry.take().or_else(|| self.queue.try_get())
    }
}

/// The arm returned by [`put`].
pub struct Put<'a, T> {
    queue: &'a dyn SelectQueue<T>,
    /// Contains the item until a getter takes it.
    entry: QueueEntry<'a, T>,
}

impl<T> SelectHandle for Put<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }
}

impl<T> Arm for Put<'_, T> {
    type Output = ();

    fn try_select(&self) -> Option<()> {
        let refused = self.queue.try_put(self.entry.take()?).err();
        let done = refused.is_none();
        self.entry.set_slot(refused);
        done.then_some(())
    }

    fn accept(&self) -> Option<()> {
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
