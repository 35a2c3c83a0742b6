//! Who runs next: first in, first out.
//!
//! A ring of references, not a chain through the control blocks. With many green threads in turn
//! none of their memory is in the cache when it is needed; a ring can be looked into ahead, so that
//! the control block and the stack of those who come next are on their way while others still run.
//! A chain would tell whom to load only after the miss before it. (Measured: 50 000 in turn.)

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

use crate::green::{GreenRef, GreenThread};

/// References to green threads that are `Ready`. The capacity is a power of two; `head` and `tail`
/// only grow, and wrap around.
#[derive(Debug)]
pub(crate) struct RunQueue {
    ring: RefCell<Box<[Cell<*mut GreenThread>]>>,
    head: Cell<usize>,
    tail: Cell<usize>,
}

/// So far ahead the control block is fetched; one nearer, the stack that it names.
const AHEAD: usize = 8;

/// Below this length everything is in the cache anyway.
const MANY: usize = 256;

impl RunQueue {
    pub(crate) fn new() -> Self {
        Self {
            ring: RefCell::new(ring(64)),
            head: Cell::new(0),
            tail: Cell::new(0),
        }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    #[inline(always)]
    pub(crate) fn push(&self, green: GreenRef) {
        let ring = self.ring.borrow();
        if self.len() == ring.len() {
            drop(ring);
            self.grow();
            return self.push(green);
        }
        let tail = self.tail.get();
        ring[tail & (ring.len() - 1)].set(green.as_ptr());
        self.tail.set(tail.wrapping_add(1));
    }

    /// Jumps the queue: for a killer, which goes on as soon as its victim has stopped.
    pub(crate) fn push_front(&self, green: GreenRef) {
        if self.len() == self.ring.borrow().len() {
            self.grow();
        }
        let ring = self.ring.borrow();
        let head = self.head.get().wrapping_sub(1);
        ring[head & (ring.len() - 1)].set(green.as_ptr());
        self.head.set(head);
    }

    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<GreenRef> {
        let len = self.len();
        if len == 0 {
            return None;
        }
        let ring = self.ring.borrow();
        let head = self.head.get();
        let green = ring[head & (ring.len() - 1)].get();
        self.head.set(head.wrapping_add(1));
        if len > MANY {
            self.look_ahead(&ring, head);
        }
        // SAFETY: put in by `push`, and ready since, so it lives ([live-ref] 1).
        NonNull::new(green).map(|green| unsafe { GreenRef::new(green) })
    }

    #[inline(always)]
    fn look_ahead(&self, ring: &[Cell<*mut GreenThread>], head: usize) {
        let at = |ahead: usize| ring[head.wrapping_add(ahead) & (ring.len() - 1)].get();
        GreenThread::prefetch(at(2 * AHEAD));
        GreenThread::prefetch_stack(at(AHEAD));
    }

    /// Takes out one that is to run right now instead of in its turn.
    pub(crate) fn remove(&self, green: GreenRef) {
        let ring = self.ring.borrow();
        let at = |index: usize| &ring[index & (ring.len() - 1)];
        let head = self.head.get();
        let Some(place) =
            (0..self.len()).find(|n| at(head.wrapping_add(*n)).get() == green.as_ptr())
        else {
            return;
        };
        // Those before it move up by one.
        for n in (0..place).rev() {
            at(head.wrapping_add(n + 1)).set(at(head.wrapping_add(n)).get());
        }
        self.head.set(head.wrapping_add(1));
    }

    #[cold]
    #[inline(never)]
    fn grow(&self) {
        let mut old = self.ring.borrow_mut();
        let (new, len) = (ring(old.len() * 2), self.len());
        for (n, place) in new.iter().enumerate().take(len) {
            place.set(old[self.head.get().wrapping_add(n) & (old.len() - 1)].get());
        }
        self.head.set(0);
        self.tail.set(len);
        *old = new;
    }
}

fn ring(capacity: usize) -> Box<[Cell<*mut GreenThread>]> {
    vec![Cell::new(ptr::null_mut()); capacity].into_boxed_slice()
}
