//! Queues that pass items between the green threads of one OS thread.

mod any;
mod core;
mod error;
mod priority;
mod store;

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

pub(crate) use self::any::QueueCore;
pub use self::any::{AnyQueue, QueueIter};
use self::core::Core;
pub(crate) use self::error::panic_closed;
pub use self::error::{Closed, Full};
use self::priority::Priority;
use self::store::{Fifo, Lifo};
use crate::green::StaysOnItsOsThread;
use crate::sched;
use crate::thread::charge_try;

/// Defines a queue. The three types differ in nothing but the order of their items.
macro_rules! queue {
    ($(#[$doc:meta])* $name:ident<T $(: $bound:ident)?> in $store:ident) => {
        $(#[$doc])*
        pub struct $name<T> {
            owner: PhantomData<*const StaysOnItsOsThread>,
            core: Rc<Core<T, $store<T>>>,
        }

        impl<T $(: $bound)?> $name<T> {
            /// Creates a queue that is full only when it is closed.
            #[must_use]
            pub fn unbounded() -> Self {
                Self {
                    owner: PhantomData,
                    core: Rc::new(Core::new(None)),
                }
            }

            /// Creates a queue of at most `capacity` items.
            ///
            /// A queue of capacity 0 stores nothing: each put waits until a getter takes the item.
            #[must_use]
            pub fn bounded(capacity: usize) -> Self {
                Self {
                    owner: PhantomData,
                    core: Rc::new(Core::new(Some(capacity))),
                }
            }

            /// Puts an item into the queue.
            ///
            /// If the putter is killed or times out before there is room, the item is dropped and
            /// never enters the queue.
            ///
            /// Parks until there is room; with a capacity of 0, until a getter takes the item. A put
            /// that need not park yields once in a while, so that the getters can keep up.
            ///
            /// # Panics
            ///
            /// Panics if the queue is closed, now or while the putter is parked; see
            /// [`send`](Self::send). Panics on the root green thread if a deadlock is detected.
            #[inline]
            #[track_caller]
            pub fn put(&self, item: T) {
                // The item is dropped before the panic.
                if self.core.put_until(item, None).is_err() {
                    panic_closed();
                }
            }

            /// Puts an item into the queue like [`put`](Self::put), unless the queue is closed.
            ///
            /// Parks as `put` does.
            ///
            /// # Errors
            ///
            /// Returns [`Closed`], which contains the item, if the queue is closed, now or while the
            /// putter is parked.
            ///
            /// # Panics
            ///
            /// Panics on the root green thread if a deadlock is detected.
            #[inline]
            pub fn send(&self, item: T) -> Result<(), Closed<T>> {
                self.core.put_until(item, None).map_err(Closed)
            }

            /// Puts an item into the queue like [`put`](Self::put), waiting for at most `timeout`.
            ///
            /// Parks until there is room, or for `timeout`.
            ///
            /// # Errors
            ///
            /// Returns [`Full`], which contains the item, if there is no room in time, or if the
            /// queue is closed. [`is_closed`](Self::is_closed) tells these apart.
            ///
            /// # Panics
            ///
            /// Panics on the root green thread if a deadlock is detected.
            pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), Full<T>> {
                self.core
                    .put_until(item, sched::deadline_after(timeout))
                    .map_err(Full)
            }

            /// Puts an item into the queue if there is room or a getter waits, without parking.
            ///
            /// Yields after 128 failures in one turn, so that a getter can make room.
            ///
            /// # Errors
            ///
            /// Returns [`Full`], which contains the item, if the queue is full and no getter waits,
            /// or if the queue is closed. [`is_closed`](Self::is_closed) tells these apart.
            #[inline]
            pub fn try_put(&self, item: T) -> Result<(), Full<T>> {
                charge_try(|| self.core.try_put(item), Result::is_err).map_err(Full)
            }

            /// Takes the next item out of the queue.
            ///
            /// Parks until there is one.
            ///
            /// # Panics
            ///
            /// Panics if the queue is closed and has no items, now or while the getter is parked;
            /// see [`recv`](Self::recv). Panics on the root green thread if a deadlock is detected.
            #[must_use = "the item has been removed from the queue"]
            #[inline]
            #[track_caller]
            pub fn get(&self) -> T {
                match self.core.get_until(None) {
                    Some(item) => item,
                    None => panic_closed(),
                }
            }

            /// Takes the next item like [`get`](Self::get). Returns `None` if the queue is closed
            /// and has no items.
            ///
            /// Parks until there is an item, or until the queue is closed.
            ///
            /// # Panics
            ///
            /// Panics on the root green thread if a deadlock is detected.
            #[must_use = "the item has been removed from the queue"]
            #[inline]
            pub fn recv(&self) -> Option<T> {
                self.core.get_until(None)
            }

            /// Takes the next item like [`get`](Self::get), waiting for at most `timeout`. Returns
            /// `None` if there is none in time, or if the queue is closed and has no items.
            ///
            /// Parks until there is an item, or for `timeout`.
            ///
            /// # Panics
            ///
            /// Panics on the root green thread if a deadlock is detected.
            #[must_use = "the item has been removed from the queue"]
            pub fn get_timeout(&self, timeout: Duration) -> Option<T> {
                self.core.get_until(sched::deadline_after(timeout))
            }

            /// Takes the next item if there is one or a putter waits, without parking. Returns
            /// `None` otherwise.
            ///
            /// Yields after 128 failures in one turn, so that a putter can run.
            #[must_use = "the item has been removed from the queue"]
            #[inline]
            pub fn try_get(&self) -> Option<T> {
                charge_try(|| self.core.try_get(), Option::is_none)
            }

            /// Returns an iterator that takes items out of the queue, until the queue is closed and
            /// has no items.
            ///
            /// Its `next` parks as [`recv`](Self::recv) does.
            pub fn iter(&self) -> QueueIter<&Self> {
                QueueIter::new(self)
            }

            /// Closes the queue: no item can be put into it any more.
            ///
            /// The items that are in the queue can still be taken. Parked putters get their item
            /// back: their `send` returns [`Closed`], their `put_timeout` [`Full`], and their `put`
            /// panics. Parked getters find that there is nothing left.
            ///
            /// Closing affects all handles to the queue and cannot be undone, not even by
            /// [`resize`](Self::resize). Closing it again has no effect. A queue is not closed by
            /// dropping its handles. [`join`](Self::join) still waits until the items are marked
            /// as done.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let queue = evy::", stringify!($name), "::unbounded();")]
            /// let worker = queue.clone();
            /// let sum = evy::spawn(move || worker.iter().sum::<i32>());
            /// (1..=3).for_each(|n| queue.put(n));
            /// queue.close();
            /// assert_eq!(sum.join().unwrap(), 6);
            /// assert_eq!(queue.send(4), Err(evy::Closed(4)));
            /// assert_eq!(queue.recv(), None);
            /// ```
            pub fn close(&self) {
                self.core.close();
            }

            /// Returns `true` if the queue was closed. It may still have items.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.core.is_closed()
            }

            /// Returns the number of items in the queue. The items of parked putters are not
            /// counted.
            #[must_use]
            pub fn len(&self) -> usize {
                self.core.len()
            }

            /// Returns `true` if the queue contains no items.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Returns `true` if the queue has no room for another item, or is closed.
            #[must_use]
            pub fn is_full(&self) -> bool {
                self.core.is_full()
            }

            /// Returns the maximum number of items, or `None` if there is no limit.
            #[must_use]
            pub fn capacity(&self) -> Option<usize> {
                self.core.capacity()
            }

            /// Changes the maximum number of items; `None` means no limit.
            ///
            /// Parked putters for which there is room now continue. Items that are in the queue
            /// stay there, even if they exceed the new capacity.
            pub fn resize(&self, capacity: impl Into<Option<usize>>) {
                self.core.resize(capacity.into());
            }

            /// Returns the number of green threads that are parked until there is an item.
            #[must_use]
            pub fn getting(&self) -> usize {
                self.core.getters.len()
            }

            /// Returns the number of green threads that are parked until there is room.
            #[must_use]
            pub fn putting(&self) -> usize {
                self.core.putters.len()
            }

            /// Returns the number of items that were put and not yet marked as done by
            /// [`task_done`](Self::task_done).
            #[must_use]
            pub fn unfinished(&self) -> usize {
                self.core.unfinished()
            }

            /// Marks an item as done, for [`join`](Self::join).
            ///
            /// # Panics
            ///
            /// Panics if it is called more often than items were put.
            pub fn task_done(&self) {
                self.core.task_done();
            }

            /// Waits until every item that was put has been marked as done by
            /// [`task_done`](Self::task_done).
            ///
            /// Parks until then.
            ///
            /// # Panics
            ///
            /// Panics on the root green thread if a deadlock is detected.
            pub fn join(&self) {
                self.core.join();
            }
        }

        impl<T $(: $bound)?> AnyQueue for $name<T> {
            type Item = T;

            fn core(&self) -> &dyn QueueCore<T> {
                &*self.core
            }
        }

        impl<'a, T $(: $bound)?> IntoIterator for &'a $name<T> {
            type Item = T;
            type IntoIter = QueueIter<Self>;

            fn into_iter(self) -> QueueIter<Self> {
                QueueIter::new(self)
            }
        }

        impl<T $(: $bound)?> IntoIterator for $name<T> {
            type Item = T;
            type IntoIter = QueueIter<Self>;

            fn into_iter(self) -> QueueIter<Self> {
                QueueIter::new(self)
            }
        }

        impl<T $(: $bound)?> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self {
                    owner: PhantomData,
                    core: Rc::clone(&self.core),
                }
            }
        }

        impl<T $(: $bound)?> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("getting", &self.getting())
                    .field("putting", &self.putting())
                    .field("closed", &self.is_closed())
                    .finish()
            }
        }
    };
}

queue! {
    /// A first-in, first-out queue for the green threads of one OS thread.
    ///
    /// Waiting getters and putters are served in FIFO order. A queue stays on its OS thread; a
    /// clone is another handle to the same queue. Only the methods that say so park.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::Queue;
    ///
    /// let queue = Queue::bounded(2);
    /// let numbers = queue.clone();
    /// evy::spawn_n(move || (1..=10).for_each(|n| numbers.put(n)));
    /// let sum: i32 = (0..10).map(|_| queue.get()).sum();
    /// assert_eq!(sum, 55);
    /// ```
    Queue<T> in Fifo
}

queue! {
    /// A last-in, first-out queue for the green threads of one OS thread: the newest item comes
    /// first.
    ///
    /// Waiting getters and putters are served in FIFO order. A queue stays on its OS thread; a
    /// clone is another handle to the same queue. Only the methods that say so park.
    ///
    /// # Examples
    ///
    /// ```
    /// let stack = evy::LifoQueue::unbounded();
    /// stack.put("first");
    /// stack.put("second");
    /// assert_eq!(stack.get(), "second");
    /// ```
    LifoQueue<T> in Lifo
}

queue! {
    /// A priority queue for the green threads of one OS thread: the lowest item comes first.
    ///
    /// Equal items come in the order in which they were put. Wrap the items in
    /// [`Reverse`](std::cmp::Reverse) to get the greatest item first.
    ///
    /// Items are compared when one is taken, by the green thread that takes it. If a comparison
    /// panics, the taker panics, and no item is lost. If a comparison parks, other takers wait for
    /// it, and `try_get` returns `None` meanwhile.
    ///
    /// Waiting getters and putters are served in FIFO order. A queue stays on its OS thread; a
    /// clone is another handle to the same queue. Only the methods that say so park.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = evy::PriorityQueue::unbounded();
    /// queue.put((2, "later"));
    /// queue.put((1, "now"));
    /// assert_eq!(queue.get(), (1, "now"));
    /// ```
    PriorityQueue<T: Ord> in Priority
}
