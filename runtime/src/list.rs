//! An intrusive FIFO list, from which any node can be removed. The only linked list of the project.
//!
//! A node lives in the stack frame of the waiter, so linking it allocates nothing.
//!
//! Invariant `[linked-is-pinned]`: a linked node is neither moved nor dropped. The code that links
//! a node unlinks it before that. The callers of the unsafe functions here keep this invariant.

use std::ptr::{self, NonNull};

use crate::primitive::{Cell, const_fn_unless_loom};

/// An entry of a [`List`], with its value.
#[derive(Debug)]
pub(crate) struct Node<T> {
    /// Null for the first node. Meaningless while the node is not linked.
    previous: Cell<*const Self>,
    /// Null for the last node; `unlinked()` while the node is not linked.
    next: Cell<*const Self>,
    pub(crate) value: T,
}

impl<T> Node<T> {
    const_fn_unless_loom! {
        #[inline]
        pub(crate) fn new(value: T) -> Self {
            Self {
                previous: Cell::new(ptr::null()),
                next: Cell::new(Self::unlinked()),
                value,
            }
        }
    }

    #[inline]
    pub(crate) fn is_linked(&self) -> bool {
        self.next.get() != Self::unlinked()
    }

    /// Returns the value of `next` that marks a node as not linked. It is no node's address.
    const fn unlinked() -> *const Self {
        ptr::dangling()
    }
}

/// A FIFO list of nodes that it does not own.
#[derive(Debug)]
pub(crate) struct List<T> {
    head: Cell<*const Node<T>>,
    /// Meaningless while the list is empty, so that `pop_front` never has to write it.
    tail: Cell<*const Node<T>>,
}

impl<T> List<T> {
    const_fn_unless_loom! {
        pub(crate) fn new() -> Self {
            Self {
                head: Cell::new(ptr::null()),
                tail: Cell::new(ptr::null()),
            }
        }
    }

    /// Returns the number of nodes. Counts them one by one.
    pub(crate) fn len(&self) -> usize {
        let mut len = 0;
        self.for_each(|_| len += 1);
        len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Links `node` at the back of the list.
    ///
    /// # Safety
    ///
    /// `node` is valid and not linked anywhere, and `[linked-is-pinned]` is kept for it.
    #[inline]
    pub(crate) unsafe fn push_back(&self, node: NonNull<Node<T>>) {
        // SAFETY: valid (caller).
        let links = unsafe { node.as_ref() };
        debug_assert!(!links.is_linked());
        links.next.set(ptr::null());
        if self.is_empty() {
            links.previous.set(ptr::null());
            self.head.set(node.as_ptr());
        } else {
            links.previous.set(self.tail.get());
            // SAFETY: the list is not empty, so its tail is a linked node, and a linked node is
            // valid ([linked-is-pinned]).
            unsafe { &*self.tail.get() }.next.set(node.as_ptr());
        }
        self.tail.set(node.as_ptr());
    }

    /// Links `node` at the front of the list.
    ///
    /// # Safety
    ///
    /// The same conditions hold as for [`Self::push_back`].
    pub(crate) unsafe fn push_front(&self, node: NonNull<Node<T>>) {
        // SAFETY: valid (caller).
        let links = unsafe { node.as_ref() };
        debug_assert!(!links.is_linked());
        links.previous.set(ptr::null());
        links.next.set(self.head.get());
        // SAFETY: a linked node is valid ([linked-is-pinned]).
        match unsafe { self.head.get().as_ref() } {
            Some(head) => head.previous.set(node.as_ptr()),
            None => self.tail.set(node.as_ptr()),
        }
        self.head.set(node.as_ptr());
    }

    /// Unlinks `node`, which may be anywhere in the list. Does nothing if it is not linked.
    ///
    /// # Safety
    ///
    /// `node` is valid and, if linked, linked in this list.
    #[inline]
    pub(crate) unsafe fn remove(&self, node: NonNull<Node<T>>) {
        // SAFETY: valid (caller).
        let links = unsafe { node.as_ref() };
        if !links.is_linked() {
            return;
        }
        let (previous, next) = (links.previous.get(), links.next.replace(Node::unlinked()));
        // SAFETY: a linked node is valid ([linked-is-pinned]).
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.head.set(next),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(previous),
            None => self.tail.set(previous),
        }
    }

    /// Returns the first node: that of the longest waiter.
    #[inline]
    pub(crate) fn front(&self) -> Option<NonNull<Node<T>>> {
        NonNull::new(self.head.get().cast_mut())
    }

    /// Unlinks the first node and returns it.
    #[inline]
    pub(crate) fn pop_front(&self) -> Option<NonNull<Node<T>>> {
        let node = self.front()?;
        // SAFETY: a linked node is valid ([linked-is-pinned]).
        let links = unsafe { node.as_ref() };
        let next = links.next.replace(Node::unlinked());
        self.head.set(next);
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.set(ptr::null());
        }
        Some(node)
    }

    /// Calls `visit` for each value, from front to back. `visit` must not change the list.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&T)) {
        let mut at = self.head.get();
        // SAFETY: a linked node is valid ([linked-is-pinned]).
        while let Some(node) = unsafe { at.as_ref() } {
            visit(&node.value);
            at = node.next.get();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{List, Node};
    use std::ptr::NonNull;

    fn values(list: &List<u32>) -> Vec<u32> {
        let mut all = Vec::new();
        list.for_each(|value| all.push(*value));
        all
    }

    #[test]
    fn nodes_come_out_in_fifo_order_and_can_be_removed_anywhere() {
        let nodes: Vec<Node<u32>> = (0..4).map(Node::new).collect();
        let list = List::new();
        for node in &nodes {
            // SAFETY: the nodes stay in the vector until the end of the test.
            unsafe { list.push_back(NonNull::from(node)) };
        }
        // SAFETY: the node was linked above, in this list.
        unsafe { list.remove(NonNull::from(&nodes[2])) };
        assert_eq!(values(&list), [0, 1, 3]);
        // SAFETY: valid, and unlinked by the removal above.
        unsafe { list.remove(NonNull::from(&nodes[2])) };
        assert_eq!(list.len(), 3);
        // SAFETY: the node was linked above, in this list.
        unsafe { list.remove(NonNull::from(&nodes[3])) };
        let first = list.pop_front().unwrap();
        // SAFETY: the node is alive until the end of the test.
        assert_eq!(unsafe { first.as_ref() }.value, 0);
        assert_eq!(values(&list), [1]);
        // SAFETY: unlinked above, and alive until the end of the test.
        unsafe { list.push_front(NonNull::from(&nodes[3])) };
        assert_eq!(values(&list), [3, 1]);
        list.pop_front();
        list.pop_front();
        assert!(list.is_empty() && list.pop_front().is_none());
        // SAFETY: unlinked above, and alive until the end of the test.
        unsafe { list.push_front(NonNull::from(&nodes[0])) };
        assert_eq!(values(&list), [0]);
    }
}
