//! The part that all queues share, whatever their order.
//!
//! A getter never waits while there is an item, nor a putter while there is room, because both are
//! handed off at once. Waiters are therefore served in FIFO order, and no newcomer overtakes one.
//! There is one exception: the comparison of items of a `PriorityQueue` may park. Until it has
//! finished, other getters wait although there are items, and are woken to try again.
//!
//! | operation | finds | does |
//! | --- | --- | --- |
//! | put | a waiting getter | leaves the item in the getter's slot, wakes the getter |
//! | put | room | stores the item |
//! | put | neither | parks with the item in its own slot |
//! | get | an item | takes it; then stores the longest waiting putter's item, wakes the putter |
//! | get | a waiting putter, and no item (capacity 0) | takes the putter's item, wakes the putter |
//! | get | neither | parks |
//! | close | waiting putters | wakes them, with their items still in their slots |
//! | close | waiting getters, and no item | wakes them, with nothing in their slots |
//!
//! In a closed queue no putter waits, and a getter only for a comparison. A getter that was woken
//! with nothing tries again, because an item may have been put back meanwhile.
//!
//! A getter that unwinds with an item in its slot puts the item back in front. A putter that
//! unwinds takes its item with it, unless the item has already left its slot: then the item has
//! been put.
//!
//! Items are moved, never dropped, so no code of the program runs here except comparisons.

use std::cell::Cell;
use std::mem;
use std::time::Instant;

use super::store::Store;
use crate::green::WaitReason;
use crate::thread::{self, WaitQueue};

pub(super) struct Core<T, S> {
    store: S,
    /// The number of items in `store`, without one that is being taken. It is usually zero when a
    /// green thread waits, and `store` is then not accessed at all.
    stored: Cell<usize>,
    /// The maximum number of items, or `None` if only memory limits it.
    capacity: Cell<Option<usize>>,
    /// A putter waits while this many items are stored: the capacity, but zero in a closed queue.
    limit: Cell<usize>,
    pub(super) getters: WaitQueue<T>,
    pub(super) putters: WaitQueue<T>,
    /// The number of items that were put and not yet marked as done.
    unfinished: Cell<usize>,
    joiners: WaitQueue,
    is_closed: Cell<bool>,
}

impl<T, S: Store<T>> Core<T, S> {
    pub(super) fn new(capacity: Option<usize>) -> Self {
        Self {
            store: S::default(),
            stored: Cell::new(0),
            capacity: Cell::new(capacity),
            limit: Cell::new(capacity.unwrap_or(usize::MAX)),
            getters: WaitQueue::with_slots(),
            putters: WaitQueue::with_slots(),
            unfinished: Cell::new(0),
            joiners: WaitQueue::new(),
            is_closed: Cell::new(false),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.stored.get()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.limit.get()
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
        if self.store.is_comparing() {
            return None;
        }
        self.stored.set(self.stored.get() - 1);
        let guard = S::COMPARES.then(|| TakeGuard(self));
        let item = self.store.pop(|| self.accept_parked_puts());
        mem::forget(guard);
        if S::COMPARES {
            self.renotify_getter();
        }
        item
    }

    /// Takes an item. Parks until there is one. Returns `None` if `deadline` passes first, or if
    /// the queue is drained.
    #[inline(always)]
    pub(super) fn get_until(&self, deadline: Option<Instant>) -> Option<T> {
        let is_empty = || self.stored.get() == 0 && self.putters.is_empty();
        thread::charge(|| is_empty() && !self.is_closed.get());
        if let Some(item) = self.try_get() {
            return Some(item);
        }
        if self.is_drained() {
            return None;
        }
        match self.wait_for_item(deadline) {
            Ok(Some(item)) => Some(item),
            Ok(None) => self.get_again(deadline),
            Err(_) => None,
        }
    }

    /// Takes an item after the getter was woken with nothing. Until it waits again it is not
    /// interrupted, because it would not pass the wake-up on.
    #[cold]
    #[inline(never)]
    fn get_again(&self, deadline: Option<Instant>) -> Option<T> {
        loop {
            if let Some(item) = self.try_get() {
                return Some(item);
            }
            if self.is_drained() {
                return None;
            }
            match self.wait_for_item(deadline) {
                Ok(None) => {}
                slot => return slot.ok().flatten(),
            }
        }
    }

    /// Parks until there is an item. Returns the content of the getter's slot, as an error if
    /// `deadline` has passed first.
    #[inline(always)]
    fn wait_for_item(&self, deadline: Option<Instant>) -> Result<Option<T>, Option<T>> {
        let pass_on = |item| self.pass_on(item);
        self.getters
            .wait_with_slot(WaitReason::Item, deadline, None, pass_on)
    }

    /// Passes on what a woken getter will not use. An item goes to the longest waiting getter, or to
    /// the front of the store.
    pub(super) fn pass_on(&self, item: Option<T>) {
        let Some(item) = item else {
            return self.renotify_getter();
        };
        if let Err(item) = self.hand_off(item) {
            self.store.put_back(item);
            self.stored.set(self.stored.get() + 1);
        }
    }

    /// Gives the item to the longest waiting getter.
    #[inline(always)]
    fn hand_off(&self, item: T) -> Result<(), T> {
        // A getter that waits although there are items must get the lowest of them.
        if S::COMPARES && self.stored.get() > 0 {
            return Err(item);
        }
        self.getters.wake_one_with(item)
    }

    /// Wakes a getter that waits although there are items, to try again; all of them if there will
    /// be no more items.
    fn renotify_getter(&self) {
        if self.stored.get() > 0 {
            self.getters.wake_one();
        } else {
            self.end_getters();
        }
    }

    /// Wakes all getters if the queue is drained.
    fn end_getters(&self) {
        if self.is_drained() {
            self.getters.wake_all();
        }
    }

    #[inline(always)]
    pub(super) fn try_put(&self, item: T) -> Result<(), T> {
        let Err(item) = self.hand_off(item) else {
            self.count_unfinished();
            return Ok(());
        };
        if self.is_full() {
            return Err(item);
        }
        self.store(item);
        Ok(())
    }

    /// Puts an item. Parks until there is room. Returns the item if `deadline` passes first, or if
    /// the queue is closed.
    #[inline(always)]
    pub(super) fn put_until(&self, item: T, deadline: Option<Instant>) -> Result<(), T> {
        thread::charge(|| self.is_full() && self.getters.is_empty() && !self.is_closed.get());
        match self.try_put(item) {
            Ok(()) => {
                // Without capacity, a put is complete only when the item has been taken. So the
                // getter runs first. Nothing may be thrown meanwhile, because the item is gone.
                if self.capacity.get() == Some(0) {
                    thread::yield_uninterrupted();
                }
                Ok(())
            }
            Err(item) if self.is_closed.get() => Err(item),
            Err(item) => {
                let putters = &self.putters;
                match putters.wait_with_slot(WaitReason::Room, deadline, Some(item), drop) {
                    Ok(None) => Ok(()),
                    // A putter that is woken by `close` finds its item in its slot.
                    Ok(slot) | Err(slot) => slot.map_or(Ok(()), Err),
                }
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
        self.store.push(item);
        self.stored.set(self.stored.get() + 1);
        self.count_unfinished();
    }

    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.limit.set(0);
        self.putters.wake_all();
        self.end_getters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Whether the queue is closed and has no items. An item that a getter was given, but does not
    /// take, may still be put back.
    pub(super) fn is_drained(&self) -> bool {
        self.is_closed.get() && self.stored.get() == 0
    }

    pub(super) fn resize(&self, capacity: Option<usize>) {
        self.capacity.set(capacity);
        if !self.is_closed.get() {
            self.limit.set(capacity.unwrap_or(usize::MAX));
            self.accept_parked_puts();
        }
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
        thread::charge(|| self.unfinished.get() > 0);
        while self.unfinished.get() > 0 {
            self.joiners.wait(WaitReason::TasksDone);
        }
    }
}

/// An item that is being taken, until its comparison with others has succeeded. If the getter
/// unwinds, the item is still in the store.
struct TakeGuard<'a, T, S: Store<T>>(&'a Core<T, S>);

impl<T, S: Store<T>> Drop for TakeGuard<'_, T, S> {
    fn drop(&mut self) {
        let Self(core) = self;
        core.stored.set(core.stored.get() + 1);
        core.renotify_getter();
    }
}
