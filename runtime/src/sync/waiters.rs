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
//! `[told-last]` After `told` nobody touches the place any more: its frame may be gone.

use std::fmt;
use std::ptr::NonNull;
use std::time::Instant;

use crate::green::WaitReason;
use crate::list::{List, Node};
use crate::primitive::{AtomicBool, Cell, Mutex, MutexGuard, Ordering, constructor, lock};
use crate::thread::{Parker, Ticket, park_while};

/// A queue of places, to be kept under a lock.
pub(crate) struct Waiters<T = ()> {
    list: List<Waiter<T>>,
}

// SAFETY: the list and the places in it are touched by one OS thread at a time, under the lock that
// the queue lies in; what is in the slots crosses.
unsafe impl<T: Send> Send for Waiters<T> {}

impl<T> fmt::Debug for Waiters<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters")
            .field("len", &self.list.len())
            .finish_non_exhaustive()
    }
}

/// What stands in a place.
pub(crate) struct Waiter<T> {
    /// Until it is told.
    parker: Cell<Option<Parker>>,
    told: AtomicBool,
    slot: Cell<Option<T>>,
    ticket: Cell<Option<Ticket>>,
}

/// Where to enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Back,
    Front,
}

/// A waiter that was told, to be unparked when the lock is released.
#[must_use = "a waiter that was told must be unparked"]
#[derive(Debug)]
pub(crate) struct Told(Parker);

impl Told {
    pub(crate) fn unpark(self) {
        self.0.unpark();
    }
}

impl<T> Waiters<T> {
    constructor! {
        pub(crate) fn new() -> Self {
            Self { list: List::new() }
        }
    }

    /// Whether nobody waits. Those who were chosen elsewhere, and have not run since, do not.
    pub(crate) fn is_empty(&self) -> bool {
        while let Some(node) = self.list.front() {
            // SAFETY: linked, so it is valid, and nobody else has the lock.
            let ticket = unsafe { node.as_ref() }.value.ticket.get();
            // SAFETY: as above, for its choice.
            if ticket.is_none_or(|ticket| unsafe { ticket.is_open() }) {
                return false;
            }
            self.list.pop_front();
        }
        true
    }

    /// As [`Self::is_empty`], to the green thread that `own` belongs to: nobody meets itself.
    pub(crate) fn is_empty_to(&self, own: Option<Ticket>) -> bool {
        let mut is_empty = true;
        self.list.for_each(|waiter| {
            let ticket = waiter.ticket.get();
            // SAFETY: linked, so it is valid, as is its choice, and nobody else has the lock.
            let waits = ticket.is_none_or(|ticket| unsafe { ticket.is_open() });
            let is_own = ticket.zip(own).is_some_and(|(a, b)| a.is_kin(b));
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

    /// Takes out the one at the head that has not been chosen elsewhere; `meet` gets its slot.
    pub(crate) fn tell<R>(&self, meet: impl FnOnce(&Cell<Option<T>>) -> R) -> Option<(Told, R)> {
        loop {
            let node = self.list.pop_front()?;
            // SAFETY: it was linked a moment ago; its frame is left by a waiter that was told, or
            // that has held the lock since, which is ours.
            let waiter = unsafe { &node.as_ref().value };
            if let Some(ticket) = waiter.ticket.get() {
                // SAFETY: as above, for its choice.
                if !unsafe { ticket.claim() } {
                    continue;
                }
            }
            let met = meet(&waiter.slot);
            let parker = waiter.parker.take();
            waiter.told.store(true, Ordering::Release);
            return Some((Told(parker.expect("it is told once")), met));
        }
    }

    /// Takes out all who have not been chosen elsewhere.
    pub(crate) fn tell_all(&self) -> Vec<Told> {
        std::iter::from_fn(|| self.tell(|_| ()))
            .map(|(told, ())| told)
            .collect()
    }
}

/// A place in a queue, as memory: the waiter owns it.
pub(crate) struct Place<T> {
    node: Node<Waiter<T>>,
}

impl<T> Place<T> {
    /// The caller's.
    pub(crate) fn new(brought: Option<T>) -> Self {
        Self {
            node: Node::new(Waiter {
                parker: Cell::new(Some(Parker::current())),
                told: AtomicBool::new(false),
                slot: Cell::new(brought),
                ticket: Cell::new(None),
            }),
        }
    }

    /// Makes it one of several places of the caller. It is in no queue.
    pub(crate) fn prepare(&self, ticket: Ticket) {
        let waiter = &self.node.value;
        waiter.parker.set(Some(Parker::current()));
        waiter.told.store(false, Ordering::Relaxed);
        waiter.ticket.set(Some(ticket));
    }

    /// # Safety
    ///
    /// The place neither moves nor dies, nor does its ticket's choice, until it was told or has left
    /// the queue. The caller holds the lock that the queue lies in.
    pub(crate) unsafe fn enter(&self, waiters: &Waiters<T>, end: End) {
        let node = NonNull::from(&self.node);
        // SAFETY: valid, and it stays where it is (caller).
        unsafe {
            match end {
                End::Back => waiters.list.push_back(node),
                End::Front => waiters.list.push_front(node),
            }
        }
    }

    /// Leaves the queue; `false` if it was told, or passed over, before.
    ///
    /// # Safety
    ///
    /// `waiters` is the queue that was entered, and the caller holds the lock that it lies in.
    pub(crate) unsafe fn leave(&self, waiters: &Waiters<T>) -> bool {
        let was_waiting = self.node.is_linked();
        // SAFETY: linked there, or not any more (caller).
        unsafe { waiters.list.remove(NonNull::from(&self.node)) };
        was_waiting
    }

    /// If it is one of several places.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        self.node.value.ticket.get()
    }

    pub(crate) fn is_told(&self) -> bool {
        self.node.value.told.load(Ordering::Acquire)
    }

    /// What is in the slot, when nobody else can reach it any more: it was told, or has left.
    pub(crate) fn take(&self) -> Option<T> {
        self.node.value.slot.take()
    }

    /// Leaves `value` in the slot, while it is in no queue.
    pub(crate) fn bring(&self, value: Option<T>) {
        self.node.value.slot.set(value);
    }
}

/// What has an inner lock, with a queue under it.
pub(crate) struct Wait<'a, S, T> {
    pub(crate) state: &'a Mutex<S>,
    pub(crate) queue: fn(&S) -> &Waiters<T>,
    pub(crate) end: End,
    pub(crate) reason: WaitReason,
    pub(crate) deadline: Option<Instant>,
}

impl<S, T> Wait<'_, S, T> {
    /// Enters the queue with `brought` in the slot, releases `guard`, and parks until told (`Ok`) or
    /// until the deadline (`Err`); both with what is in the slot then.
    ///
    /// `undo` gets the slot where a waiter that was told unwinds instead of going on.
    pub(crate) fn park(
        self,
        guard: MutexGuard<'_, S>,
        brought: Option<T>,
        undo: impl FnOnce(Option<T>),
    ) -> Result<Option<T>, Option<T>> {
        self.park_with(guard, brought, || {}, |_| {}, undo)
    }

    /// As [`Self::park`]; `entered` is called between entering and parking, and `gave_up`, under the
    /// lock, where the place has left the queue untold.
    pub(crate) fn park_with(
        self,
        guard: MutexGuard<'_, S>,
        brought: Option<T>,
        entered: impl FnOnce(),
        gave_up: impl Fn(&mut S),
        undo: impl FnOnce(Option<T>),
    ) -> Result<Option<T>, Option<T>> {
        let place = Place::new(brought);
        // SAFETY: `Stay` below takes it out, whichever way this function is left, and is declared
        // after it, so dropped before. The guard is of this lock.
        unsafe { place.enter((self.queue)(&guard), self.end) };
        let mut stay = Stay {
            wait: &self,
            place: &place,
            gave_up,
            undo: Some(undo),
        };
        drop(guard);
        entered();
        park_while(self.reason, self.deadline, || !place.is_told());
        stay.undo = None;
        match stay.end() {
            true => Ok(place.take()),
            false => Err(place.take()),
        }
    }
}

/// For as long as the wait lasts.
struct Stay<'a, S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> {
    wait: &'a Wait<'a, S, T>,
    place: &'a Place<T>,
    gave_up: G,
    undo: Option<U>,
}

impl<S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> Stay<'_, S, T, G, U> {
    /// Out of the queue from here on; whether it was told.
    fn end(&self) -> bool {
        if self.place.is_told() {
            return true;
        }
        let mut state = lock(self.wait.state);
        // SAFETY: entered there, and the lock is held.
        let gave_up = unsafe { self.place.leave((self.wait.queue)(&state)) };
        if gave_up {
            (self.gave_up)(&mut state);
        }
        !gave_up
    }
}

impl<S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> Drop for Stay<'_, S, T, G, U> {
    fn drop(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        if self.end() {
            undo(self.place.take());
        }
    }
}
