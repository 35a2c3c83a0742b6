//! What all queues have in common, whatever their order.
//!
//! An item never waits beside a getter, nor room beside a putter: it is handed over at once. So who
//! has waited longest is served first, and nobody can slip in between.
//!
//! | who comes | finds | does |
//! | --- | --- | --- |
//! | put | a getter | leaves the item in its slot, wakes it |
//! | put | room | stores the item |
//! | put | neither | parks with the item in its own slot |
//! | get | an item | takes it; then the first putter's item moves up, and the putter wakes |
//! | get | a putter, and no item (capacity 0) | takes the putter's item, wakes it |
//! | get | neither | parks |
//!
//! A getter that unwinds with an item in its slot puts it back, in front. A putter that unwinds takes
//! its item with it, unless that has moved on already: then it has been put.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use super::store::Store;
use crate::green::WaitReason;
use crate::thread::{self, WaitQueue};

pub(super) struct Core<T, S> {
    store: RefCell<S>,
    /// How many items are in there: mostly none when somebody waits, and then it is left alone.
    stored: Cell<usize>,
    /// `None`: as many as there is memory for.
    capacity: Cell<Option<usize>>,
    pub(super) getters: WaitQueue<T>,
    pub(super) putters: WaitQueue<T>,
    /// Items that were put and not reported done.
    unfinished: Cell<usize>,
    joiners: WaitQueue,
}

impl<T, S: Store<T>> Core<T, S> {
    pub(super) fn new(capacity: Option<usize>) -> Self {
        Self {
            store: RefCell::default(),
            stored: Cell::new(0),
            capacity: Cell::new(capacity),
            getters: WaitQueue::with_slots(),
            putters: WaitQueue::with_slots(),
            unfinished: Cell::new(0),
            joiners: WaitQueue::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.stored.get()
    }

    pub(super) fn is_full(&self) -> bool {
        self.capacity.get().is_some_and(|most| self.len() >= most)
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.capacity.get()
    }

    #[inline(always)]
    pub(super) fn try_get(&self) -> Option<T> {
        if self.stored.get() == 0 {
            let item = self.putters.wake_one_taking()?;
            self.count_unfinished();
            return Some(item);
        }
        let item = self.store.borrow_mut().pop();
        self.update_len();
        self.accept_parked_puts();
        item
    }

    #[inline(always)]
    pub(super) fn get_until(&self, deadline: Option<Instant>) -> Option<T> {
        if let Some(item) = self.try_get() {
            return Some(item);
        }
        let give_back = |item: Option<T>| item.into_iter().for_each(|item| self.put_back(item));
        let slot = self
            .getters
            .wait_with_slot(WaitReason::Item, deadline, None, give_back);
        slot.ok().flatten()
    }

    /// Takes back an item that nobody will use.
    pub(super) fn put_back(&self, item: T) {
        if let Err(item) = self.getters.wake_one_with(item) {
            self.store.borrow_mut().put_back(item);
            self.update_len();
        }
    }

    #[inline(always)]
    pub(super) fn try_put(&self, item: T) -> Result<(), T> {
        let Err(item) = self.getters.wake_one_with(item) else {
            self.count_unfinished();
            return Ok(());
        };
        if self.is_full() {
            return Err(item);
        }
        self.store(item);
        Ok(())
    }

    #[inline(always)]
    pub(super) fn put_until(&self, item: T, deadline: Option<Instant>) -> Result<(), T> {
        match self.try_put(item) {
            Ok(()) => {
                // The getter goes first: where there is no room, putting is over when it is taken.
                if self.capacity.get() == Some(0) {
                    thread::yield_now();
                }
                Ok(())
            }
            Err(item) => {
                let slot =
                    self.putters
                        .wait_with_slot(WaitReason::Room, deadline, Some(item), drop);
                slot.err().flatten().map_or(Ok(()), Err)
            }
        }
    }

    /// Moves items of parked putters up, as far as there is room.
    #[inline]
    fn accept_parked_puts(&self) {
        while !self.is_full() {
            let Some(item) = self.putters.wake_one_taking() else {
                return;
            };
            self.store(item);
        }
    }

    #[inline]
    fn store(&self, item: T) {
        self.store.borrow_mut().push(item);
        self.update_len();
        self.count_unfinished();
    }

    #[inline]
    fn update_len(&self) {
        let len = self.store.borrow().len();
        self.stored.set(len);
    }

    pub(super) fn resize(&self, capacity: Option<usize>) {
        self.capacity.set(capacity);
        self.accept_parked_puts();
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.get()
    }

    #[inline(always)]
    fn count_unfinished(&self) {
        self.unfinished.set(self.unfinished.get() + 1);
    }

    pub(super) fn task_done(&self) {
        let left = self.unfinished.get().checked_sub(1);
        let left = left.expect("more tasks were reported done than items were put");
        self.unfinished.set(left);
        if left == 0 {
            self.joiners.wake_all();
        }
    }

    pub(super) fn join(&self) {
        while self.unfinished.get() > 0 {
            self.joiners.wait(WaitReason::TasksDone);
        }
    }
}

/// A queue as `select!` sees it, whatever its order.
#[expect(unnameable_types, reason = "a queue is made here, and nowhere else")]
pub trait SelectQueue<T> {
    #[doc(hidden)]
    fn getters(&self) -> &WaitQueue<T>;
    #[doc(hidden)]
    fn putters(&self) -> &WaitQueue<T>;
    #[doc(hidden)]
    fn try_get(&self) -> Option<T>;
    /// Takes back an item that nobody will use.
    #[doc(hidden)]
    fn put_back(&self, item: T);
    /// # Errors
    ///
    /// The item, if there is no room.
    #[doc(hidden)]
    fn try_put(&self, item: T) -> Result<(), T>;
}

impl<T, S: Store<T>> SelectQueue<T> for Core<T, S> {
    fn getters(&self) -> &WaitQueue<T> {
        &self.getters
    }

    fn putters(&self) -> &WaitQueue<T> {
        &self.putters
    }

    fn try_get(&self) -> Option<T> {
        self.try_get()
    }

    fn put_back(&self, item: T) {
        self.put_back(item);
    }

    fn try_put(&self, item: T) -> Result<(), T> {
        self.try_put(item)
    }
}
