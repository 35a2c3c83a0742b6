//! The arms for the queues of one OS thread: `recv` and `send`, and `get` and `put`, which panic
//! where the others report that the queue is closed.

use std::fmt;

use super::any::{AnyReceiver, AnySender};
use super::arms::{Arm, SelectHandle};
use super::queue_entry::QueueEntry;
use crate::queue::{AnyQueue, Closed, LifoQueue, PriorityQueue, Queue, QueueCore, panic_closed};
use crate::thread::SelectToken;

/// Returns an arm that is ready when `queue` has an item. Its output is the item.
///
/// The arm is also ready when the queue is closed and has no items. Like
/// [`Queue::get`](crate::Queue::get), it panics then if it is chosen.
pub fn get<Q: AnyQueue>(queue: &Q) -> Get<'_, Q::Item> {
    Get(QueueRecv::new(queue.core()))
}

/// Returns an arm that is ready when `queue` has room, and puts `item` if it is selected.
///
/// The arm is also ready when the queue is closed. Like [`Queue::put`](crate::Queue::put), it
/// panics then if it is chosen.
pub fn put<Q: AnyQueue>(queue: &Q, item: Q::Item) -> Put<'_, Q::Item> {
    Put(QueueSend::new(queue.core(), item))
}

macro_rules! recv_and_send {
    ($($name:ident<T $(: $bound:ident)?>),*) => {$(
        impl<T $(: $bound)?> AnyReceiver for $name<T> {
            type Recv<'a>
                = QueueRecv<'a, T>
            where
                T: 'a;

            fn recv_arm(&self) -> QueueRecv<'_, T> {
                QueueRecv::new(self.core())
            }
        }

        impl<T $(: $bound)?> AnySender for $name<T> {
            type Message = T;
            type Send<'a>
                = QueueSend<'a, T>
            where
                T: 'a;

            fn send_arm(&self, item: T) -> QueueSend<'_, T> {
                QueueSend::new(self.core(), item)
            }
        }
    )*};
}

recv_and_send!(Queue<T>, LifoQueue<T>, PriorityQueue<T: Ord>);

/// The arm returned by [`recv`](super::recv) for a queue.
pub struct QueueRecv<'a, T> {
    queue: &'a dyn QueueCore<T>,
    entry: QueueEntry<'a, T>,
}

impl<'a, T> QueueRecv<'a, T> {
    fn new(queue: &'a dyn QueueCore<T>) -> Self {
        Self {
            queue,
            entry: QueueEntry::new(queue.getters(), None),
        }
    }
}

impl<T> SelectHandle for QueueRecv<'_, T> {
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

impl<T> Arm for QueueRecv<'_, T> {
    type Output = Option<T>;

    fn try_select(&self) -> Option<Option<T>> {
        let item = self.queue.try_get();
        (item.is_some() || self.queue.is_drained()).then_some(item)
    }

    fn accept(&self) -> Option<Option<T>> {
        // Without an item in the slot, there is one in the queue, or the queue is closed.
        self.entry.take().map(Some).or_else(|| self.try_select())
    }
}

/// The arm returned by [`send`](super::send) for a queue.
pub struct QueueSend<'a, T> {
    queue: &'a dyn QueueCore<T>,
    /// Contains the item until a getter takes it.
    entry: QueueEntry<'a, T>,
}

impl<'a, T> QueueSend<'a, T> {
    fn new(queue: &'a dyn QueueCore<T>, item: T) -> Self {
        Self {
            queue,
            entry: QueueEntry::new(queue.putters(), Some(item)),
        }
    }
}

impl<T> SelectHandle for QueueSend<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }
}

impl<T> Arm for QueueSend<'_, T> {
    type Output = Result<(), Closed<T>>;

    fn try_select(&self) -> Option<Self::Output> {
        match self.queue.try_put(self.entry.take()?) {
            Ok(()) => Some(Ok(())),
            Err(item) if self.queue.is_closed() => Some(Err(Closed(item))),
            Err(item) => {
                self.entry.set_slot(Some(item));
                None
            }
        }
    }

    fn accept(&self) -> Option<Self::Output> {
        // If the item has not been taken, the queue was closed.
        Some(match self.entry.take() {
            None => Ok(()),
            Some(item) => Err(Closed(item)),
        })
    }
}

/// The arm returned by [`get`].
pub struct Get<'a, T>(QueueRecv<'a, T>);

impl<T> SelectHandle for Get<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.0.register(token) }
    }

    fn unregister(&self) {
        self.0.unregister();
    }

    fn release(&self) {
        self.0.release();
    }
}

impl<T> Arm for Get<'_, T> {
    type Output = T;

    fn try_select(&self) -> Option<T> {
        let item = self.0.try_select()?;
        Some(item.unwrap_or_else(|| panic_closed()))
    }

    fn accept(&self) -> Option<T> {
        let item = self.0.accept()?;
        Some(item.unwrap_or_else(|| panic_closed()))
    }
}

/// The arm returned by [`put`].
pub struct Put<'a, T>(QueueSend<'a, T>);

impl<T> SelectHandle for Put<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.0.register(token) }
    }

    fn unregister(&self) {
        self.0.unregister();
    }
}

impl<T> Arm for Put<'_, T> {
    type Output = ();

    fn try_select(&self) -> Option<()> {
        self.0.try_select().map(unwrap_put)
    }

    fn accept(&self) -> Option<()> {
        self.0.accept().map(unwrap_put)
    }
}

/// The item is dropped before the panic.
fn unwrap_put<T>(put: Result<(), Closed<T>>) {
    if put.map_err(drop).is_err() {
        panic_closed();
    }
}

impl<T> fmt::Debug for QueueRecv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueRecv").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for QueueSend<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSend").finish_non_exhaustive()
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
