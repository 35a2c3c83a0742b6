//! An intrusive pairing heap: a priority queue for deadlines, with nodes that live in control
//! blocks.
//!
//! Timeouts are set and canceled far more often than they expire. A pairing heap makes these two
//! operations cheap. An insertion is one comparison with the root. The removal of a node without
//! children only unlinks it from its siblings. Only taking the first node costs more: amortized
//! O(log n).
//!
//! The order is exact: by key, and FIFO among equal keys, by a sequence number that only grows. A
//! timing wheel would insert as fast, but it keeps no order within a slot, and wakes early or late
//! by up to a tick.
//!
//! Invariant `[linked-is-pinned]`: a linked node is neither moved nor dropped. The callers of the
//! unsafe functions keep this invariant.

use std::cell::Cell;
use std::fmt;
use std::ptr::{self, NonNull};

/// An entry of a [`Heap`], ordered by a key of type `K`, with a value of type `T`.
pub(crate) struct Node<K, T> {
    /// The key and the sequence number; `None` while the node is not linked.
    key: Cell<Option<(K, u64)>>,
    /// The first child. No child comes before this node in the order.
    child: Cell<*const Self>,
    /// The next sibling.
    next: Cell<*const Self>,
    /// The previous sibling, or the parent if this is the first child; null for the root.
    previous: Cell<*const Self>,
    pub(crate) value: T,
}

impl<K: Copy + Ord, T> Node<K, T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            key: Cell::new(None),
            child: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            value,
        }
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.key.get().is_some()
    }
}

/// A heap of nodes that it does not own, ordered by their keys.
pub(crate) struct Heap<K, T> {
    root: Cell<*const Node<K, T>>,
    len: Cell<usize>,
    /// The sequence number of the next insertion.
    sequence: Cell<u64>,
}

impl<K: Copy + Ord, T> Heap<K, T> {
    pub(crate) const fn new() -> Self {
        Self {
            root: Cell::new(ptr::null()),
            len: Cell::new(0),
            sequence: Cell::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Returns the key of the first node.
    pub(crate) fn first_key(&self) -> Option<K> {
        // SAFETY: a linked node is valid ([linked-is-pinned]).
        let root = unsafe { self.root.get().as_ref() }?;
        root.key.get().map(|(key, _)| key)
    }

    /// Links `node` with the key `key`, behind the nodes with an equal key.
    ///
    /// # Safety
    ///
    /// `node` is valid and not linked anywhere, and `[linked-is-pinned]` is kept for it.
    pub(crate) unsafe fn insert(&self, node: NonNull<Node<K, T>>, key: K) {
        // SAFETY: valid (caller).
        let new = unsafe { node.as_ref() };
        debug_assert!(!new.is_linked());
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        new.key.set(Some((key, sequence)));
        new.child.set(ptr::null());
        new.next.set(ptr::null());
        new.previous.set(ptr::null());
        // SAFETY: both are linked now, so they are valid, and neither has siblings.
        self.root
            .set(unsafe { meld(self.root.get(), node.as_ptr()) });
        self.len.set(self.len.get() + 1);
    }

    /// Unlinks `node`, which may be anywhere in the heap. Does nothing if it is not linked.
    ///
    /// # Safety
    ///
    /// `node` is valid and, if linked, linked in this heap.
    pub(crate) unsafe fn remove(&self, node: NonNull<Node<K, T>>) {
        // SAFETY: valid (caller).
        let old = unsafe { node.as_ref() };
        if old.key.take().is_none() {
            return;
        }
        // SAFETY: the children are linked, so they are valid ([linked-is-pinned]).
        let orphans = unsafe { meld_all(old.child.replace(ptr::null())) };
        let (previous, next) = (old.previous.get(), old.next.get());
        // SAFETY: a linked node is valid ([linked-is-pinned]).
        match unsafe { previous.as_ref() } {
            None => self.root.set(orphans),
            Some(previous) => {
                if ptr::eq(previous.child.get(), node.as_ptr()) {
                    previous.child.set(next);
                } else {
                    previous.next.set(next);
                }
                // SAFETY: a linked node is valid ([linked-is-pinned]).
                if let Some(next) = unsafe { next.as_ref() } {
                    next.previous.set(previous);
                }
                // SAFETY: both are roots of trees of linked nodes, without siblings.
                self.root.set(unsafe { meld(self.root.get(), orphans) });
            }
        }
        self.len.set(self.len.get() - 1);
    }

    /// Unlinks the first node if its key is `now` or earlier.
    pub(crate) fn pop_expired(&self, now: K) -> Option<NonNull<Node<K, T>>> {
        if self.first_key()? > now {
            return None;
        }
        let first = NonNull::new(self.root.get().cast_mut())?;
        // SAFETY: it is linked in this heap, so it is valid ([linked-is-pinned]).
        unsafe { self.remove(first) };
        Some(first)
    }
}

impl<K: Copy + Ord, T> fmt::Debug for Heap<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Melds two trees, either of which may be empty, and returns the root.
///
/// # Safety
///
/// Non-null arguments are valid, linked, and have no siblings.
unsafe fn meld<K: Copy + Ord, T>(a: *const Node<K, T>, b: *const Node<K, T>) -> *const Node<K, T> {
    // SAFETY: valid (caller).
    let (Some(left), Some(right)) = (unsafe { a.as_ref() }, unsafe { b.as_ref() }) else {
        return if a.is_null() { b } else { a };
    };
    let (parent, child) = if left.key.get() <= right.key.get() {
        (left, right)
    } else {
        (right, left)
    };
    let first = parent.child.get();
    child.previous.set(parent);
    child.next.set(first);
    // SAFETY: a child of a linked node is linked, so it is valid ([linked-is-pinned]).
    if let Some(first) = unsafe { first.as_ref() } {
        first.previous.set(child);
    }
    parent.child.set(child);
    parent
}

/// Melds a list of siblings into one tree: first in pairs from the left, then the pairs from the
/// right.
///
/// # Safety
///
/// `first` is null or valid and linked, and so are its siblings.
unsafe fn meld_all<K: Copy + Ord, T>(first: *const Node<K, T>) -> *const Node<K, T> {
    let detach = |node: *const Node<K, T>| {
        // SAFETY: null, or a linked sibling and therefore valid (caller).
        let Some(node) = (unsafe { node.as_ref() }) else {
            return ptr::null();
        };
        node.previous.set(ptr::null());
        node.next.replace(ptr::null())
    };
    // The melded pairs form a list of their own, chained through `next`, with the last pair first.
    let mut pairs: *const Node<K, T> = ptr::null();
    let mut at = first;
    while !at.is_null() {
        let second = detach(at);
        let rest = detach(second);
        // SAFETY: both are detached, so neither has siblings; the second may be null.
        let pair = unsafe { meld(at, second) };
        // SAFETY: `at` is not null, so neither is the pair.
        unsafe { (*pair).next.set(pairs) };
        pairs = pair;
        at = rest;
    }
    let mut whole: *const Node<K, T> = ptr::null();
    while !pairs.is_null() {
        let rest = detach(pairs);
        // SAFETY: neither has siblings; `whole` may be null.
        whole = unsafe { meld(whole, pairs) };
        pairs = rest;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::{Heap, Node};
    use std::collections::BTreeMap;
    use std::ptr::NonNull;

    #[test]
    fn nodes_with_equal_keys_come_out_in_fifo_order() {
        let nodes: Vec<Node<u32, u32>> = (0..100).map(Node::new).collect();
        let heap = Heap::new();
        for node in &nodes {
            // SAFETY: the nodes stay in the vector until the end of the test.
            unsafe { heap.insert(NonNull::from(node), node.value % 3) };
        }
        let mut order = Vec::new();
        while let Some(node) = heap.pop_expired(u32::MAX) {
            // SAFETY: the node is alive until the end of the test.
            order.push(unsafe { node.as_ref() }.value);
        }
        let expected: Vec<u32> = (0..3)
            .flat_map(|r| (0..100).filter(move |v| v % 3 == r))
            .collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn random_operations_give_the_same_results_as_on_a_sorted_map() {
        const NODES: usize = 300;
        let nodes: Vec<Node<u64, usize>> = (0..NODES).map(Node::new).collect();
        let heap = Heap::new();
        let mut model: BTreeMap<(u64, u64), usize> = BTreeMap::new();
        let mut keys: Vec<Option<(u64, u64)>> = vec![None; NODES];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut sequence = 0;
        for _ in 0..200_000 {
            let index = (random() % NODES as u64) as usize;
            let node = NonNull::from(&nodes[index]);
            match random() % 8 {
                0..=3 => {
                    if keys[index].is_none() {
                        let key = random() % 64;
                        // SAFETY: not linked, and it stays in the vector until the end of the test.
                        unsafe { heap.insert(node, key) };
                        keys[index] = Some((key, sequence));
                        model.insert((key, sequence), index);
                        sequence += 1;
                    }
                }
                4..=6 => {
                    // SAFETY: valid, and linked in this heap or not at all.
                    unsafe { heap.remove(node) };
                    if let Some(key) = keys[index].take() {
                        model.remove(&key);
                    }
                }
                _ => {
                    let now = random() % 64;
                    // SAFETY: the node is alive until the end of the test.
                    let popped = heap
                        .pop_expired(now)
                        .map(|node| unsafe { node.as_ref() }.value);
                    let first = model.first_key_value().map(|(key, index)| (*key, *index));
                    let expected = first.filter(|((key, _), _)| *key <= now);
                    assert_eq!(popped, expected.map(|(_, index)| index));
                    if let Some((key, index)) = expected {
                        model.remove(&key);
                        keys[index] = None;
                    }
                }
            }
            assert_eq!(heap.len(), model.len());
            assert_eq!(heap.first_key(), model.keys().next().map(|(key, _)| *key));
        }
    }
}
