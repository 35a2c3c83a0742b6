//! The part that all queues share, whatever their order.
//!
//! A getter never waits while there is an item, nor a putter while there is room, because both are
//! handed off at once. Waiters are therefore served in FIFO order, and no newcomer overtakes one.
//!
//! | operation | finds | does |
//! | --- | --- | --- |
//! | put | a waiting getter | leaves the item in the getter's slot, wakes the getter |
//! | put | room | stores the item |
//! | put | neither | parks with the item in its own slot |
//! | get | an item | takes it; then stores the longest waiting putter's item, wakes the putter |
//! | get | a waiting putter, and no item (capacity 0) | takes the putter's item, wakes the putter |
//! | get | neither | parks |
//!
//! A getter that unwinds with an item in its slot puts the item back in front. A putter that
//! unwinds takes its item with it, unless the item has already left its slot: then the item has
//! been put.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use super::store::Store;
use crate::green::WaitReason;
use crate::thread::{self, WaitQueue};

pub(super) struct Core<T, S> {
    store: RefCell<S>,
    /// The number of items in `store`. It is usually zero when a green thread waits, and `store` is
    /// then not accessed at all.
    stored: Cell<usize>,
    /// The maximum number of items, or `None` if only memory limits it.
    capacity: Cell<Option<usize>>,
    pub(super) getters: WaitQueue<T>,
    pub(super) putters: WaitQueue<T>,
    /// The number of items that were put and not yet marked as done.
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
        self.capacity
            .get()
            .is_some_and(|capacity| self.len() >= capacity)
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
        if self.stored.get() > 0 || !self.putters.is_empty() {
            // After a yield there may be nothing left.
            thread::charge(|| false);
            if let Some(item) = self.try_get() {
                return Some(item);
            }
        }
        let give_back = |item: Option<T>| item.into_iter().for_each(|item| self.put_back(item));
        let slot = self
            .getters
            .wait_with_slot(WaitReason::Item, deadline, None, give_back);
        slot.ok().flatten()
    }

    /// Puts back an item that its getter will not use: it goes to the longest waiting getter, or to
    /// the front of the store.
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
        thread::charge(|| self.is_full() && self.getters.is_empty());
        match self.try_put(item) {
            Ok(()) => {
                // Without capacity, a put is complete only when the item has been taken. So the
                // getter runs first. Nothing may be thrown meanwhile, because the item is gone.
                if self.capacity.get() == Some(0) {
                    thread::yield_uninterrupted();
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

    /// Stores the items of parked putters while there is room, and wakes those putters.
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
        let left = left.expect("`task_done` was called more often than items were put");
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

/// The operations of a queue that `select!` uses, whatever the order of the queue.
#[expect(
    unnameable_types,
    reason = "only the queues of this module implement it"
)]
pub trait SelectQueue<T> {
    #[doc(hidden)]
    fn getters(&self) -> &WaitQueue<T>;
    #[doc(hidden)]
    fn putters(&self) -> &WaitQueue<T>;
    #[doc(hidden)]
    fn try_get(&self) -> Option<T>;
    /// Puts back an item that its getter will not use.
    #[doc(hidden)]
    fn put_back(&self, item: T);
    /// # Errors
    ///
    /// Returns the item if there is no room.
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
