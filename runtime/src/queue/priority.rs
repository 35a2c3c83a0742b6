//! `Priority`: lowest item first.
//!
//! The order comes from `Ord` of the items, which is code of the program: it may panic, park and
//! use the queue again. Three rules keep the items safe from it.
//!
//! - Items are compared only when one is popped. An item that is pushed, or put back, is added to
//!   `arrived` without a comparison, so this cannot fail.
//! - The heap is taken out of the store while its items are compared, and returned by a guard.
//!   Nothing is borrowed meanwhile, and items can be pushed.
//! - The heap compares first and moves afterwards. A comparison that panics leaves every item where
//!   it was.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::mem;

use super::store::Store;

/// Lowest first; first in, first out among equals.
pub(super) struct Priority<T> {
    /// Empty while a [`pop`](Store::pop) compares items.
    heap: Cell<Heap<T>>,
    is_comparing: Cell<bool>,
    /// The items that have not been compared with others.
    arrived: RefCell<Vec<Entry<T>>>,
    /// The sequence number of the next item that is pushed.
    next_seq: Cell<i64>,
    /// The sequence number of the next item that is put back. It is negative, so that the item
    /// precedes its equals.
    next_front_seq: Cell<i64>,
}

impl<T> Priority<T> {
    fn add(&self, item: T, seq: i64) {
        self.arrived.borrow_mut().push(Entry { item, seq });
    }
}

impl<T: Ord> Default for Priority<T> {
    fn default() -> Self {
        Self {
            heap: Cell::new(Heap::new()),
            is_comparing: Cell::new(false),
            arrived: RefCell::default(),
            next_seq: Cell::new(0),
            next_front_seq: Cell::new(-1),
        }
    }
}

impl<T: Ord> Store<T> for Priority<T> {
    const COMPARES: bool = true;

    fn push(&self, item: T) {
        let seq = self.next_seq.get();
        self.next_seq.set(seq + 1);
        self.add(item, seq);
    }

    fn put_back(&self, item: T) {
        let seq = self.next_front_seq.get();
        self.next_front_seq.set(seq - 1);
        self.add(item, seq);
    }

    fn pop(&self, make_room: impl FnOnce()) -> Option<T> {
        let mut taken = TakenHeap {
            heap: self.heap.replace(Heap::new()),
            store: self,
        };
        self.is_comparing.set(true);
        taken.heap.append(&mut self.arrived.borrow_mut());
        make_room();
        taken.heap.pop()
    }

    fn is_comparing(&self) -> bool {
        self.is_comparing.get()
    }
}

/// The heap while its items are compared. It returns to the store when this is dropped.
struct TakenHeap<'a, T> {
    heap: Heap<T>,
    store: &'a Priority<T>,
}

impl<T> Drop for TakenHeap<'_, T> {
    fn drop(&mut self) {
        let heap = mem::replace(&mut self.heap, Heap::new());
        self.store.heap.set(heap);
        self.store.is_comparing.set(false);
    }
}

/// A binary heap that loses nothing if a comparison panics.
struct Heap<T> {
    /// The first `ordered` entries are a heap: an entry precedes those at twice its index plus one
    /// and plus two. The others are in no order yet.
    entries: Vec<Entry<T>>,
    ordered: usize,
}

impl<T> Heap<T> {
    const fn new() -> Self {
        Self {
            entries: Vec::new(),
            ordered: 0,
        }
    }

    fn append(&mut self, arrived: &mut Vec<Entry<T>>) {
        self.entries.append(arrived);
    }
}

impl<T: Ord> Heap<T> {
    fn pop(&mut self) -> Option<T> {
        while self.ordered < self.entries.len() {
            self.order_next();
        }
        let last = self.ordered.checked_sub(1)?;
        // The path from the root along which each entry moves up by one, to make room for `last`.
        let mut end = 0;
        while let Some(child) = self.first_child(end, last)
            && self.precedes(child, last)
        {
            end = child;
        }
        // No comparison follows. `last` moves to the end of the path, and the root to the index of
        // `last`.
        self.entries.swap(end, last);
        while let Some(parent) = parent(end) {
            self.entries.swap(parent, last);
            end = parent;
        }
        self.ordered = last;
        self.entries.pop().map(|entry| entry.item)
    }

    /// Adds the first of the entries that are in no order to those that are.
    fn order_next(&mut self) {
        let new = self.ordered;
        let mut end = new;
        while let Some(parent) = parent(end)
            && self.precedes(new, parent)
        {
            end = parent;
        }
        // No comparison follows. Each entry between `end` and `new` moves down by one.
        let mut at = new;
        while at != end
            && let Some(parent) = parent(at)
        {
            self.entries.swap(at, parent);
            at = parent;
        }
        self.ordered += 1;
    }

    /// Returns the child of `index` that precedes the other one, of those below `len`.
    fn first_child(&self, index: usize, len: usize) -> Option<usize> {
        let (left, right) = (2 * index + 1, 2 * index + 2);
        if right < len && self.precedes(right, left) {
            return Some(right);
        }
        (left < len).then_some(left)
    }

    fn precedes(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.entries[a], &self.entries[b]);
        let by_item = a.item.cmp(&b.item);
        by_item.then(a.seq.cmp(&b.seq)) == Ordering::Less
    }
}

fn parent(index: usize) -> Option<usize> {
    Some(index.checked_sub(1)? / 2)
}

/// An item and its sequence number, which orders it among its equals.
struct Entry<T> {
    item: T,
    seq: i64,
}
