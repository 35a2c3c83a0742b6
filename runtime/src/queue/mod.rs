//! Queues between the green threads of one OS thread.

mod core;
mod store;

use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use self::core::Core;
pub(crate) use self::core::SelectQueue;
use self::store::{Fifo, Lifo, Priority};
use crate::sched;

/// Any of the three kinds of queue, for [`select!`](crate::select!).
pub trait AnyQueue {
    /// What is in it.
    type Item;

    #[doc(hidden)]
    fn as_select(&self) -> &dyn SelectQueue<Self::Item>;
}

/// What the three kinds have in common, which is all but their order.
macro_rules! queue {
    ($(#[$doc:meta])* $name:ident<T $(: $bound:ident)?> in $store:ident) => {
        $(#[$doc])*
        ///
        /// Getters and putters are served in the order in which they came. It stays on its OS thread;
        /// a clone is another handle to the same queue.
        pub struct $name<T>(Rc<Core<T, $store<T>>>);

        impl<T $(: $bound)?> $name<T> {
            /// A queue that is never full. Never parks.
            #[must_use]
            pub fn unbounded() -> Self {
                Self(Rc::new(Core::new(None)))
            }

            /// A queue of so many items at most; with zero, each put meets a get. Never parks.
            #[must_use]
            pub fn bounded(capacity: usize) -> Self {
                Self(Rc::new(Core::new(Some(capacity))))
            }

            /// Puts an item. Parks while the queue is full; in one of capacity zero, until a getter
            /// takes it.
            ///
            /// A putter that is killed or times out before there is room leaves nothing behind.
            ///
            /// # Panics
            ///
            /// On the root green thread, when nothing can wake anybody any more.
            #[inline]
            pub fn put(&self, item: T) {
                let mut left = self.0.put_until(item, None);
                while let Err(item) = left {
                    left = self.0.put_until(item, None);
                }
            }

            /// As [`put`](Self::put), but parks for `timeout` at most.
            ///
            /// # Errors
            ///
            /// [`Full`], with the item, if there was no room in time.
            ///
            /// # Panics
            ///
            /// As `put`.
            pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), Full<T>> {
                self.0
                    .put_until(item, sched::deadline_after(timeout))
                    .map_err(Full)
            }

            /// Puts an item if there is room, or somebody waits for it. Never parks.
            ///
            /// # Errors
            ///
            /// [`Full`], with the item.
            #[inline]
            pub fn try_put(&self, item: T) -> Result<(), Full<T>> {
                self.0.try_put(item).map_err(Full)
            }

            /// Takes the next item. Parks while there is none.
            ///
            /// # Panics
            ///
            /// On the root green thread, when nothing can wake anybody any more.
            #[must_use = "the item is out of the queue"]
            #[inline]
            pub fn get(&self) -> T {
                loop {
                    if let Some(item) = self.0.get_until(None) {
                        return item;
                    }
                }
            }

            /// As [`get`](Self::get), but parks for `timeout` at most; `None` if there was none in
            /// time.
            ///
            /// # Panics
            ///
            /// As `get`.
            #[must_use = "the item is out of the queue"]
            pub fn get_timeout(&self, timeout: Duration) -> Option<T> {
                self.0.get_until(sched::deadline_after(timeout))
            }

            /// Takes the next item if there is one, or somebody waits to put it. Never parks.
            #[must_use = "the item is out of the queue"]
            #[inline]
            pub fn try_get(&self) -> Option<T> {
                self.0.try_get()
            }

            /// How many items are in the queue; those of parked putters are not. Never parks.
            #[must_use]
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether there is no item. Never parks.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether there is no room. Never parks.
            #[must_use]
            pub fn is_full(&self) -> bool {
                self.0.is_full()
            }

            /// How many items there is room for in all; `None` is no limit. Never parks.
            #[must_use]
            pub fn capacity(&self) -> Option<usize> {
                self.0.capacity()
            }

            /// Changes the capacity; `None` is no limit. Putters for which there is room now go on;
            /// items that are there stay. Never parks.
            pub fn resize(&self, capacity: impl Into<Option<usize>>) {
                self.0.resize(capacity.into());
            }

            /// How many green threads are parked until there is an item. Never parks.
            #[must_use]
            pub fn getting(&self) -> usize {
                self.0.getters.len()
            }

            /// How many green threads are parked until there is room. Never parks.
            #[must_use]
            pub fn putting(&self) -> usize {
                self.0.putters.len()
            }

            /// How many items were put for which nobody has called [`task_done`](Self::task_done).
            /// Never parks.
            #[must_use]
            pub fn unfinished(&self) -> usize {
                self.0.unfinished()
            }

            /// Reports that the work on an item is done. Never parks.
            ///
            /// # Panics
            ///
            /// If more is reported than was put.
            pub fn task_done(&self) {
                self.0.task_done();
            }

            /// Parks until the work on all items that were put is reported done.
            ///
            /// # Panics
            ///
            /// On the root green thread, when nothing can wake anybody any more.
            pub fn join(&self) {
                self.0.join();
            }
        }

        impl<T $(: $bound)?> AnyQueue for $name<T> {
            type Item = T;

            fn as_select(&self) -> &dyn SelectQueue<T> {
                &*self.0
            }
        }

        impl<T $(: $bound)?> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self(Rc::clone(&self.0))
            }
        }

        impl<T $(: $bound)?> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("getting", &self.getting())
                    .field("putting", &self.putting())
                    .finish()
            }
        }
    };
}

queue! {
    /// A queue: first in, first out.
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
    /// A stack: the newest item comes first.
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
    /// A queue whose lowest item comes first; equal ones come in the order in which they were put.
    /// [`Reverse`](std::cmp::Reverse) turns that round.
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

/// The queue had no room; here is the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full")
    }
}

impl<T> Error for Full<T> {}
