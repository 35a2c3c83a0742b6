//! The orders in which a queue returns its items.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// A collection that returns its items in a certain order.
pub(super) trait Store<T>: Default {
    fn push(&mut self, item: T);
    fn pop(&mut self) -> Option<T>;
    /// Puts back the item that left the queue last. It is popped next, unless the order is by
    /// priority and a lower item is present.
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

/// Last in, first out.
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

/// Lowest first; first in, first out among equals.
pub(super) struct Priority<T> {
    heap: BinaryHeap<Entry<T>>,
    /// The sequence number of the next item that is pushed.
    next: i64,
    /// The sequence number of the next item that is put back. It is negative, so that the item
    /// precedes its equals.
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

/// An item and its sequence number. `BinaryHeap` pops its greatest entry, so the order is reversed:
/// the greatest entry has the lowest item, and among equals the lowest sequence number.
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
