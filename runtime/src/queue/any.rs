//! What works with every queue, whatever the order of its items: `select!`, and iteration.

use std::fmt;

use super::core::Core;
use super::store::Store;
use crate::thread::WaitQueue;

/// A queue that [`select!`](crate::select!) can wait for: a [`Queue`](super::Queue), a
/// [`LifoQueue`](super::LifoQueue) or a [`PriorityQueue`](super::PriorityQueue).
pub trait AnyQueue {
    /// The type of the items.
    type Item;

    #[doc(hidden)]
    fn core(&self) -> &dyn QueueCore<Self::Item>;
}

impl<Q: AnyQueue> AnyQueue for &Q {
    type Item = Q::Item;

    fn core(&self) -> &dyn QueueCore<Q::Item> {
        (**self).core()
    }
}

/// The operations of a queue.
#[expect(
    unnameable_types,
    reason = "only the queues of this module implement it"
)]
pub trait QueueCore<T> {
    #[doc(hidden)]
    fn getters(&self) -> &WaitQueue<T>;
    #[doc(hidden)]
    fn putters(&self) -> &WaitQueue<T>;
    #[doc(hidden)]
    fn is_closed(&self) -> bool;
    /// Whether the queue is closed and has no items.
    #[doc(hidden)]
    fn is_drained(&self) -> bool;
    #[doc(hidden)]
    fn recv(&self) -> Option<T>;
    #[doc(hidden)]
    fn try_get(&self) -> Option<T>;
    /// Passes on what a woken getter will not use.
    #[doc(hidden)]
    fn pass_on(&self, item: Option<T>);
    /// # Errors
    ///
    /// Returns the item if there is no room, or if the queue is closed.
    #[doc(hidden)]
    fn try_put(&self, item: T) -> Result<(), T>;
}

impl<T, S: Store<T>> QueueCore<T> for Core<T, S> {
    fn getters(&self) -> &WaitQueue<T> {
        &self.getters
    }

    fn putters(&self) -> &WaitQueue<T> {
        &self.putters
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }

    fn recv(&self) -> Option<T> {
        self.get_until(None)
    }

    fn try_get(&self) -> Option<T> {
        self.try_get()
    }

    fn pass_on(&self, item: Option<T>) {
        self.pass_on(item);
    }

    fn try_put(&self, item: T) -> Result<(), T> {
        self.try_put(item)
    }
}

/// Iterator that takes items out of a queue, until the queue is closed and has no items.
///
/// Returned by [`Queue::iter`](super::Queue::iter), and by `into_iter` of a queue or of a reference
/// to one.
///
/// [`next`](Iterator::next) parks as [`Queue::recv`](super::Queue::recv) does.
#[must_use = "an iterator takes no items until it is used"]
pub struct QueueIter<Q>(Q);

impl<Q> QueueIter<Q> {
    pub(super) fn new(queue: Q) -> Self {
        Self(queue)
    }
}

impl<Q: AnyQueue> Iterator for QueueIter<Q> {
    type Item = Q::Item;

    fn next(&mut self) -> Option<Q::Item> {
        self.0.core().recv()
    }
}

impl<Q: fmt::Debug> fmt::Debug for QueueIter<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueueIter").field(&self.0).finish()
    }
}
