//! The orders in which a queue returns its items.

use std::cell::RefCell;
use std::collections::VecDeque;

/// A collection that returns its items in a certain order.
///
/// Only [`pop`](Self::pop) may run code of the program, and only if [`COMPARES`](Self::COMPARES) is
/// true. Such code may panic, park and use the queue again. Nothing is lost then, and nothing is
/// borrowed meanwhile.
pub(super) trait Store<T>: Default {
    /// Whether `pop` compares items.
    const COMPARES: bool = false;

    fn push(&self, item: T);

    /// Puts back the item that left the queue last. It is popped next, unless the order is by
    /// priority and a lower item is present.
    fn put_back(&self, item: T);

    /// Removes the next item of those that are present when it is called. Calls `make_room` once it
    /// is certain that no item pushed by `make_room` can be the next one.
    fn pop(&self, make_room: impl FnOnce()) -> Option<T>;

    /// Whether a `pop` is comparing items. Until it has finished, there can be no other.
    #[inline(always)]
    fn is_comparing(&self) -> bool {
        false
    }
}

/// First in, first out.
pub(super) struct Fifo<T>(RefCell<VecDeque<T>>);

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Store<T> for Fifo<T> {
    #[inline(always)]
    fn push(&self, item: T) {
        self.0.borrow_mut().push_back(item);
    }

    fn put_back(&self, item: T) {
        self.0.borrow_mut().push_front(item);
    }

    #[inline(always)]
    fn pop(&self, make_room: impl FnOnce()) -> Option<T> {
        let item = self.0.borrow_mut().pop_front();
        make_room();
        item
    }
}

/// Last in, first out.
pub(super) struct Lifo<T>(RefCell<Vec<T>>);

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Store<T> for Lifo<T> {
    fn push(&self, item: T) {
        self.0.borrow_mut().push(item);
    }

    fn put_back(&self, item: T) {
        self.push(item);
    }

    fn pop(&self, make_room: impl FnOnce()) -> Option<T> {
        let item = self.0.borrow_mut().pop();
        make_room();
        item
    }
}
