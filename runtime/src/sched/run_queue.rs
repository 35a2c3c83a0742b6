//! Who runs next: first in, first out.
//!
//! A ring of references, not a chain through the control blocks: with many green threads in turn
//! the next ones are read in order from one array, where a chain would miss the cache once for each
//! before it even knows whom to load.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::green::GreenRef;

/// References to green threads that are `Ready`.
#[derive(Debug)]
pub(crate) struct RunQueue {
    ready: RefCell<VecDeque<GreenRef>>,
}

impl RunQueue {
    pub(crate) fn new() -> Self {
        Self {
            ready: RefCell::new(VecDeque::with_capacity(64)),
        }
    }

    #[inline(always)]
    pub(crate) fn push(&self, green: GreenRef) {
        self.ready.borrow_mut().push_back(green);
    }

    /// Jumps the queue: for a killer, which goes on as soon as its victim has stopped.
    pub(crate) fn push_front(&self, green: GreenRef) {
        self.ready.borrow_mut().push_front(green);
    }

    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<GreenRef> {
        self.ready.borrow_mut().pop_front()
    }

    /// Takes out one that is to run right now instead of in its turn.
    pub(crate) fn remove(&self, green: GreenRef) {
        let mut ready = self.ready.borrow_mut();
        let at = ready.iter().position(|other| *other == green);
        if let Some(at) = at {
            ready.remove(at);
        }
    }
}
