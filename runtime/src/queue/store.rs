//! The order in which a queue gives out what it holds.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// Items in some order.
pub(super) trait Store<T>: Default {
    fn push(&mut self, item: T);
    fn pop(&mut self) -> Option<T>;
    /// Takes back what was popped last, to be popped next.
    fn put_back(&mut self, item: T);
    fn len(&self) -> usize;
}

/// First in, first out.
pub(super) type Fifo<T> = VecDeque<T>;

impl<T> Store<T> for Fifo<T> {
    fn push(&mut self, item: T) {
        self.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn put_back(&mut self, item: T) {
        self.push_front(item);
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}

/// Newest first.
pub(super) type Lifo<T> = Vec<T>;

impl<T> Store<T> for Lifo<T> {
    fn push(&mut self, item: T) {
        Self::push(self, item);
    }

    fn pop(&mut self) -> Option<T> {
        Self::pop(self)
    }

    fn put_back(&mut self, item: T) {
        Self::push(self, item);
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}

/// Lowest first, and first in, first out among equals.
pub(super) struct Priority<T> {
    heap: BinaryHeap<Entry<T>>,
    /// The number of the next item, and of the next one to be put back.
    next: i64,
    next_front_seq: i64,
}

impl<T: Ord> Default for Priority<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            next: 0,
            next_front_seq: -1,
        }
    }
}

impl<T: Ord> Store<T> for Priority<T> {
    fn push(&mut self, item: T) {
        let seq = self.next;
        self.next += 1;
        self.heap.push(Entry { item, seq });
    }

    fn pop(&mut self) -> Option<T> {
        Some(self.heap.pop()?.item)
    }

    fn put_back(&mut self, item: T) {
        let seq = self.next_front_seq;
        self.next_front_seq -= 1;
        self.heap.push(Entry { item, seq });
    }

    fn len(&self) -> usize {
        self.heap.len()
    }
}

/// The greatest of these is the lowest item that came first.
struct Entry<T> {
    item: T,
    seq: i64,
}

impl<T: Ord> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_item = other.item.cmp(&self.item);
        by_item.then_with(|| other.seq.cmp(&self.seq))
    }
}

impl<T: Ord> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Entry<T> {}
