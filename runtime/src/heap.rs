//! An intrusive pairing heap: what is due first, with nodes that live in control blocks.
//!
//! Timeouts are set and cancelled far more often than they come due. Here an insertion is one
//! comparison with the root, and the removal of a node without children unlinks it from its
//! siblings; only taking the first one costs more, amortised O(log n). Order is exact: by key, and
//! first come first served among equals, by a number that only grows. A timing wheel would insert
//! as fast, but knows no order within a slot, and wakes early or late by a tick.
//!
//! Invariant `[linked-is-pinned]`: a node that is linked neither moves nor dies. The callers of the
//! unsafe functions keep it.

use std::cell::Cell;
use std::fmt;
use std::ptr::{self, NonNull};

/// A place in a [`Heap`]: `K` orders, `T` is what stands there.
pub(crate) struct Node<K, T> {
    key: Cell<Option<(K, u64)>>,
    /// First of the children, none of which is due before this node.
    child: Cell<*const Self>,
    next: Cell<*const Self>,
    /// The sibling before this one, or the parent of a first child; null for the root.
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

/// Nodes in order of their keys.
pub(crate) struct Heap<K, T> {
    root: Cell<*const Node<K, T>>,
    len: Cell<usize>,
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

    /// The key of the first node.
    pub(crate) fn first_key(&self) -> Option<K> {
        // SAFETY: a linked node is valid ([linked-is-pinned]).
        let root = unsafe { self.root.get().as_ref() }?;
        root.key.get().map(|(key, _)| key)
    }

    /// Links `node` under `key`, behind those of the same key.
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
        // SAFETY: both are linked now, so valid, and neither has siblings.
        self.root
            .set(unsafe { meld(self.root.get(), node.as_ptr()) });
        self.len.set(self.len.get() + 1);
    }

    /// Unlinks `node`, wherever it stands. Nothing happens if it is not linked.
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
        // SAFETY: its children are linked, so valid.
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
                // SAFETY: as above.
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
    pub(crate) fn pop_due(&self, now: K) -> Option<NonNull<Node<K, T>>> {
        if self.first_key()? > now {
            return None;
        }
        let first = NonNull::new(self.root.get().cast_mut())?;
        // SAFETY: it is linked here, and valid therefore.
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

/// Makes one tree of two, either of which may be empty.
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
    // SAFETY: a child of a linked node is linked, so valid.
    if let Some(first) = unsafe { first.as_ref() } {
        first.previous.set(child);
    }
    parent.child.set(child);
    parent
}

/// Makes one tree of a list of siblings: in pairs from the left, then all of those together.
///
/// # Safety
///
/// `first` is null or valid and linked, and so are its siblings.
unsafe fn meld_all<K: Copy + Ord, T>(first: *const Node<K, T>) -> *const Node<K, T> {
    let detach = |node: *const Node<K, T>| {
        // SAFETY: null or a linked sibling (caller).
        let Some(node) = (unsafe { node.as_ref() }) else {
            return ptr::null();
        };
        node.previous.set(ptr::null());
        node.next.replace(ptr::null())
    };
    // The melded pairs wait in a list of their own, chained through `next`, last pair first.
    let mut pairs: *const Node<K, T> = ptr::null();
    let mut at = first;
    while !at.is_null() {
        let second = detach(at);
        let rest = detach(second);
        // SAFETY: both are detached, or the second is null.
        let pair = unsafe { meld(at, second) };
        // SAFETY: `at` is not null, so neither is the pair.
        unsafe { (*pair).next.set(pairs) };
        pairs = pair;
        at = rest;
    }
    let mut whole: *const Node<K, T> = ptr::null();
    while !pairs.is_null() {
        let rest = detach(pairs);
        // SAFETY: both have no siblings.
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
    fn equals_come_out_in_the_order_they_went_in() {
        let nodes: Vec<Node<u32, u32>> = (0..100).map(Node::new).collect();
        let heap = Heap::new();
        for node in &nodes {
            // SAFETY: the nodes stay in the vector until the end of the test.
            unsafe { heap.insert(NonNull::from(node), node.value % 3) };
        }
        let mut order = Vec::new();
        while let Some(node) = heap.pop_due(u32::MAX) {
            // SAFETY: alive until the end of the test.
            order.push(unsafe { node.as_ref() }.value);
        }
        let expected: Vec<u32> = (0..3)
            .flat_map(|r| (0..100).filter(move |v| v % 3 == r))
            .collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn it_agrees_with_a_sorted_map_under_random_work() {
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
                        // SAFETY: not linked; stays in the vector.
                        unsafe { heap.insert(node, key) };
                        keys[index] = Some((key, sequence));
                        model.insert((key, sequence), index);
                        sequence += 1;
                    }
                }
                4..=6 => {
                    // SAFETY: linked in this heap, or not at all.
                    unsafe { heap.remove(node) };
                    if let Some(key) = keys[index].take() {
                        model.remove(&key);
                    }
                }
                _ => {
                    let now = random() % 64;
                    // SAFETY: alive until the end of the test.
                    let popped = heap.pop_due(now).map(|node| unsafe { node.as_ref() }.value);
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
