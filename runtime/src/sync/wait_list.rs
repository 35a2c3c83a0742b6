//! Those who wait for something that OS threads share, first come first served.
//!
//! The queue of an object lies under the object's inner lock, which is held for a few instructions
//! and never across a park. A waiter's place lies in its own frame:
//!
//! 1. it enters the queue under the lock, and parks after having released it;
//! 2. whoever wakes it takes its place out of the queue under the lock, fills or empties its slot,
//!    takes its parker, and *last of all* says `told`; then it releases the lock and unparks;
//! 3. the waiter goes on when it is told, without the lock. If its deadline comes, or it unwinds, it
//!    takes the lock: either its place is still in the queue and leaves it, or it was told meanwhile.
//!
//! `[notified-last]` After `told` nobody touches the place any more: its frame may be gone.

use std::fmt;
use std::ptr::NonNull;
use std::time::Instant;

use crate::green::WaitReason;
use crate::list::{List, Node};
use crate::primitive::{AtomicBool, Cell, Mutex, MutexGuard, Ordering, const_fn_unless_loom, lock};
use crate::thread::{Parker, SelectToken, park_while};

/// A queue of places, to be kept under a lock.
pub(crate) struct WaitList<T = ()> {
    list: List<Waiter<T>>,
}

// SAFETY: the list and the places in it are touched by one OS thread at a time, under the lock that
// the queue lies in; what is in the slots crosses.
unsafe impl<T: Send> Send for WaitList<T> {}

impl<T> fmt::Debug for WaitList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList")
            .field("len", &self.list.len())
            .finish_non_exhaustive()
    }
}

/// What stands in a place.
pub(crate) struct Waiter<T> {
    /// Until it is told.
    parker: Cell<Option<Parker>>,
    notified: AtomicBool,
    slot: Cell<Option<T>>,
    token: Cell<Option<SelectToken>>,
}

/// Where to enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Back,
    Front,
}

/// A waiter that was told, to be unparked when the lock is released.
#[must_use = "a waiter that was told must be unparked"]
#[derive(Debug)]
pub(crate) struct PendingUnpark(Parker);

impl PendingUnpark {
    pub(crate) fn unpark(self) {
        self.0.unpark();
    }
}

impl<T> WaitList<T> {
    const_fn_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { list: List::new() }
        }
    }

    /// Whether nobody waits. Those who were chosen elsewhere, and have not run since, do not.
    pub(crate) fn is_empty(&self) -> bool {
        while let Some(node) = self.list.front() {
            // SAFETY: linked, so it is valid, and nobody else has the lock.
            let token = unsafe { node.as_ref() }.value.token.get();
            // SAFETY: as above, for its choice.
            if token.is_none_or(|token| unsafe { token.is_waiting() }) {
                return false;
            }
            self.list.pop_front();
        }
        true
    }

    /// As [`Self::is_empty`], to the green thread that `own` belongs to: nobody meets itself.
    pub(crate) fn is_empty_except(&self, own: Option<SelectToken>) -> bool {
        let mut is_empty = true;
        self.list.for_each(|waiter| {
            let token = waiter.token.get();
            // SAFETY: linked, so it is valid, as is its choice, and nobody else has the lock.
            let waits = token.is_none_or(|token| unsafe { token.is_waiting() });
            let is_own = token.zip(own).is_some_and(|(a, b)| a.same_selection(b));
            is_empty &= is_own || !waits;
        });
        is_empty
    }

    /// What the one at the head has in its slot, by reference.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&Cell<Option<T>>) -> R) -> Option<R> {
        // SAFETY: linked, so it is valid, and nobody else has the lock.
        let node = unsafe { self.list.front()?.as_ref() };
        Some(look(&node.value.slot))
    }

    /// Takes out the one at the head that has not been chosen elsewhere; `f` gets its slot.
    pub(crate) fn notify_front<R>(
        &self,
        f: impl FnOnce(&Cell<Option<T>>) -> R,
    ) -> Option<(PendingUnpark, R)> {
        loop {
            let node = self.list.pop_front()?;
            // SAFETY: it was linked a moment ago; its frame is left by a waiter that was told, or
            // that has held the lock since, which is ours.
            let waiter = unsafe { &node.as_ref().value };
            if let Some(token) = waiter.token.get() {
                // SAFETY: as above, for its choice.
                if !unsafe { token.try_select() } {
                    continue;
                }
            }
            let result = f(&waiter.slot);
            let parker = waiter.parker.take();
            waiter.notified.store(true, Ordering::Release);
            return Some((PendingUnpark(parker.expect("it is told once")), result));
        }
    }

    /// Takes out all who have not been chosen elsewhere.
    pub(crate) fn notify_all(&self) -> Vec<PendingUnpark> {
        std::iter::from_fn(|| self.notify_front(|_| ()))
            .map(|(pending, ())| pending)
            .collect()
    }
}

/// A place in a queue, as memory: the waiter owns it.
pub(crate) struct WaitEntry<T> {
    node: Node<Waiter<T>>,
}

impl<T> WaitEntry<T> {
    /// The caller's.
    pub(crate) fn new(value: Option<T>) -> Self {
        Self {
            node: Node::new(Waiter {
                parker: Cell::new(Some(Parker::current())),
                notified: AtomicBool::new(false),
                slot: Cell::new(value),
                token: Cell::new(None),
            }),
        }
    }

    /// Makes it one of several places of the caller. It is in no queue.
    pub(crate) fn prepare(&self, token: SelectToken) {
        let waiter = &self.node.value;
        waiter.parker.set(Some(Parker::current()));
        waiter.notified.store(false, Ordering::Relaxed);
        waiter.token.set(Some(token));
    }

    /// # Safety
    ///
    /// The place neither moves nor dies, nor does its ticket's choice, until it was told or has left
    /// the queue. The caller holds the lock that the queue lies in.
    pub(crate) unsafe fn enter(&self, waiters: &WaitList<T>, position: Position) {
        let node = NonNull::from(&self.node);
        // SAFETY: valid, and it stays where it is (caller).
        unsafe {
            match position {
                Position::Back => waiters.list.push_back(node),
                Position::Front => waiters.list.push_front(node),
            }
        }
    }

    /// Leaves the queue; `false` if it was told, or passed over, before.
    ///
    /// # Safety
    ///
    /// `waiters` is the queue that was entered, and the caller holds the lock that it lies in.
    pub(crate) unsafe fn leave(&self, waiters: &WaitList<T>) -> bool {
        let was_waiting = self.node.is_linked();
        // SAFETY: linked there, or not any more (caller).
        unsafe { waiters.list.remove(NonNull::from(&self.node)) };
        was_waiting
    }

    /// If it is one of several places.
    pub(crate) fn token(&self) -> Option<SelectToken> {
        self.node.value.token.get()
    }

    pub(crate) fn is_notified(&self) -> bool {
        self.node.value.notified.load(Ordering::Acquire)
    }

    /// What is in the slot, when nobody else can reach it any more: it was told, or has left.
    pub(crate) fn take(&self) -> Option<T> {
        self.node.value.slot.take()
    }

    /// Leaves `value` in the slot, while it is in no queue.
    pub(crate) fn set_slot(&self, value: Option<T>) {
        self.node.value.slot.set(value);
    }
}

/// What has an inner lock, with a queue under it.
pub(crate) struct WaitParams<'a, S, T> {
    pub(crate) state: &'a Mutex<S>,
    pub(crate) queue: fn(&S) -> &WaitList<T>,
    pub(crate) position: Position,
    pub(crate) reason: WaitReason,
    pub(crate) deadline: Option<Instant>,
}

impl<S, T> WaitParams<'_, S, T> {
    /// Enters the queue with `value` in the slot, releases `guard`, and parks until told (`Ok`) or
    /// until the deadline (`Err`); both with what is in the slot then.
    ///
    /// `on_unwind` gets the slot where a waiter that was told unwinds instead of going on.
    pub(crate) fn park(
        self,
        guard: MutexGuard<'_, S>,
        value: Option<T>,
        on_unwind: impl FnOnce(Option<T>),
    ) -> Result<Option<T>, Option<T>> {
        self.park_with(guard, value, || {}, |_| {}, on_unwind)
    }

    /// As [`Self::park`]; `entered` is called between entering and parking, and `gave_up`, under the
    /// lock, where the place has left the queue untold.
    pub(crate) fn park_with(
        self,
        guard: MutexGuard<'_, S>,
        value: Option<T>,
        before_park: impl FnOnce(),
        on_give_up: impl Fn(&mut S),
        on_unwind: impl FnOnce(Option<T>),
    ) -> Result<Option<T>, Option<T>> {
        let place = WaitEntry::new(value);
        // SAFETY: `WaitGuard` below takes it out, whichever way this function is left, and is declared
        // after it, so dropped before. The guard is of this lock.
        unsafe { place.enter((self.queue)(&guard), self.position) };
        let mut guard_entry = WaitGuard {
            wait: &self,
            place: &place,
            on_give_up,
            on_unwind: Some(on_unwind),
        };
        drop(guard);
        before_park();
        park_while(self.reason, self.deadline, || !place.is_notified());
        guard_entry.on_unwind = None;
        match guard_entry.end() {
            true => Ok(place.take()),
            false => Err(place.take()),
        }
    }
}

/// For as long as the wait lasts.
struct WaitGuard<'a, S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> {
    wait: &'a WaitParams<'a, S, T>,
    place: &'a WaitEntry<T>,
    on_give_up: G,
    on_unwind: Option<U>,
}

impl<S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> WaitGuard<'_, S, T, G, U> {
    /// Out of the queue from here on; whether it was told.
    fn end(&self) -> bool {
        if self.place.is_notified() {
            return true;
        }
        let mut state = lock(self.wait.state);
        // SAFETY: entered there, and the lock is held.
        let gave_up = unsafe { self.place.leave((self.wait.queue)(&state)) };
        if gave_up {
            (self.on_give_up)(&mut state);
        }
        !gave_up
    }
}

impl<S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> Drop for WaitGuard<'_, S, T, G, U> {
    fn drop(&mut self) {
        let Some(on_unwind) = self.on_unwind.take() else {
            return;
        };
        if self.end() {
            on_unwind(self.place.take());
        }
    }
}
