//! `WaitList`: a FIFO queue of waiters, for primitives that several OS threads share.
//!
//! The queue of a primitive is protected by the primitive's inner lock, which is held for a few
//! instructions only, and never across a park. The entry of a waiter lies in the waiter's own stack
//! frame. A wait has three steps:
//!
//! 1. The waiter adds its entry to the queue under the inner lock. It releases the lock, and then
//!    parks.
//! 2. The notifier removes the entry from the queue under the inner lock. It fills or empties the
//!    slot of the entry and takes the parker out of it. *Last of all*, it sets `notified`. Then it
//!    releases the lock and unparks the waiter.
//! 3. The waiter continues when `notified` is set, without taking the lock. If its deadline passes
//!    or it unwinds, it takes the lock. Then either its entry is still in the queue, and the waiter
//!    removes it, or the waiter has been notified meanwhile.
//!
//! If the OS thread of the waiter ends meanwhile, the waiter never continues. Then its entry leaves
//! the queue, as if its deadline had passed, or what it was notified of is passed on.
//!
//! `[notified-last]` The notifier does not touch the entry after it has set `notified`, because the
//! stack frame that holds the entry may be gone.

use std::fmt;
use std::ptr::NonNull;
use std::time::Instant;

use crate::green::WaitReason;
use crate::list::{List, Node};
use crate::primitive::{AtomicBool, Cell, Mutex, MutexGuard, Ordering, const_fn_unless_loom, lock};
use crate::thread::{Parker, SelectToken, park_while, unless_abandoned};

/// A queue of waiters, to be kept under a lock.
pub(crate) struct WaitList<T = ()> {
    list: List<Waiter<T>>,
}

// SAFETY:
// - the list and its entries are accessed by one OS thread at a time, under the lock that protects
//   the queue;
// - the values in the slots move to other OS threads, so `T` must be `Send`.
unsafe impl<T: Send> Send for WaitList<T> {}

impl<T> fmt::Debug for WaitList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList")
            .field("len", &self.list.len())
            .finish_non_exhaustive()
    }
}

/// The value of a list node: one waiter.
pub(crate) struct Waiter<T> {
    /// `None` once the waiter has been notified.
    parker: Cell<Option<Parker>>,
    notified: AtomicBool,
    slot: Cell<Option<T>>,
    token: Cell<Option<SelectToken>>,
}

/// The end of the queue at which an entry is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Back,
    Front,
}

/// A notified waiter, which must be unparked after the lock has been released.
#[must_use = "a notified waiter must be unparked"]
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

    /// Whether there are no waiters. An entry does not count if another queue has selected its
    /// waiter and the waiter has not run since. Such entries are removed from the front of the
    /// queue here.
    pub(crate) fn is_empty(&self) -> bool {
        while let Some(node) = self.list.front() {
            // SAFETY: the node is linked, so it is valid. No other OS thread holds the lock.
            let token = unsafe { node.as_ref() }.value.token.get();
            // SAFETY: as above, for the selection of the token.
            if token.is_none_or(|token| unsafe { token.is_waiting() }) {
                return false;
            }
            self.list.pop_front();
        }
        true
    }

    /// Like [`Self::is_empty`], but also ignores the entries of the selection that `own` belongs
    /// to, because a select cannot meet itself.
    pub(crate) fn is_empty_except(&self, own: Option<SelectToken>) -> bool {
        let mut is_empty = true;
        self.list.for_each(|waiter| {
            let token = waiter.token.get();
            // SAFETY: the node is linked, so it is valid, and so is the selection of its token. No
            // other OS thread holds the lock.
            let waits = token.is_none_or(|token| unsafe { token.is_waiting() });
            let is_own = token.zip(own).is_some_and(|(a, b)| a.same_selection(b));
            is_empty &= is_own || !waits;
        });
        is_empty
    }

    /// Calls `f` with the slot of the first entry.
    pub(crate) fn peek<R>(&self, f: impl FnOnce(&Cell<Option<T>>) -> R) -> Option<R> {
        // SAFETY: the node is linked, so it is valid. No other OS thread holds the lock.
        let node = unsafe { self.list.front()?.as_ref() };
        Some(f(&node.value.slot))
    }

    /// Removes the first waiter that no other queue has selected, and notifies it. Before that, `f`
    /// is called with its slot.
    pub(crate) fn notify_front<R>(
        &self,
        f: impl FnOnce(&Cell<Option<T>>) -> R,
    ) -> Option<(PendingUnpark, R)> {
        loop {
            let node = self.list.pop_front()?;
            // SAFETY:
            // - the node was linked until now;
            // - its waiter leaves the stack frame that holds it only after it has been notified, or
            //   after it has taken the lock;
            // - the waiter has not been notified yet, and the lock is held here.
            let waiter = unsafe { &node.as_ref().value };
            if let Some(token) = waiter.token.get() {
                // SAFETY: as above, for the selection of the token.
                if !unsafe { token.try_select() } {
                    continue;
                }
            }
            let result = f(&waiter.slot);
            let parker = waiter.parker.take();
            waiter.notified.store(true, Ordering::Release);
            return Some((
                PendingUnpark(parker.expect("a waiter is notified once")),
                result,
            ));
        }
    }

    /// Removes and notifies all waiters that no other queue has selected.
    pub(crate) fn notify_all(&self) -> Vec<PendingUnpark> {
        std::iter::from_fn(|| self.notify_front(|_| ()))
            .map(|(pending, ())| pending)
            .collect()
    }
}

/// The memory of an entry in a queue. The waiter owns it.
pub(crate) struct WaitEntry<T> {
    node: Node<Waiter<T>>,
}

impl<T> WaitEntry<T> {
    /// Creates an entry for the caller, with `value` in its slot.
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

    /// Makes this one of several entries of the caller, while it is in no queue.
    pub(crate) fn prepare(&self, token: SelectToken) {
        let waiter = &self.node.value;
        waiter.parker.set(Some(Parker::current()));
        waiter.notified.store(false, Ordering::Relaxed);
        waiter.token.set(Some(token));
    }

    /// Adds the entry to `waiters`, at the end that `position` specifies.
    ///
    /// # Safety
    ///
    /// - Until the entry has been notified or has left the queue, neither it nor the selection of
    ///   its token moves or is dropped: `[linked-is-pinned]`.
    /// - The caller holds the lock that protects the queue.
    pub(crate) unsafe fn enter(&self, waiters: &WaitList<T>, position: Position) {
        let node = NonNull::from(&self.node);
        // SAFETY: the node is valid and does not move (caller).
        unsafe {
            match position {
                Position::Back => waiters.list.push_back(node),
                Position::Front => waiters.list.push_front(node),
            }
        }
    }

    /// Removes the entry from `waiters`. Returns `false` if it has left the queue before, because
    /// it was notified, or because it was skipped in favor of another queue.
    ///
    /// # Safety
    ///
    /// - `waiters` is the queue that was entered, if any was.
    /// - The caller holds the lock that protects the queue.
    pub(crate) unsafe fn leave(&self, waiters: &WaitList<T>) -> bool {
        let was_waiting = self.node.is_linked();
        // SAFETY: the node is linked in this queue, or not linked at all (caller).
        unsafe { waiters.list.remove(NonNull::from(&self.node)) };
        was_waiting
    }

    /// Returns the token, if this is one of several entries.
    pub(crate) fn token(&self) -> Option<SelectToken> {
        self.node.value.token.get()
    }

    pub(crate) fn is_notified(&self) -> bool {
        self.node.value.notified.load(Ordering::Acquire)
    }

    /// Takes the value in the slot. Called when no notifier can reach the entry any more: it has
    /// been notified, or it is in no queue.
    pub(crate) fn take(&self) -> Option<T> {
        self.node.value.slot.take()
    }

    /// Puts `value` in the slot, while the entry is in no queue.
    pub(crate) fn set_slot(&self, value: Option<T>) {
        self.node.value.slot.set(value);
    }
}

/// The parameters of a wait in a `WaitList` that is protected by the inner lock `state`.
pub(crate) struct WaitParams<'a, S, T> {
    pub(crate) state: &'a Mutex<S>,
    pub(crate) queue: fn(&S) -> &WaitList<T>,
    pub(crate) position: Position,
    pub(crate) reason: WaitReason,
    pub(crate) deadline: Option<Instant>,
    pub(crate) if_abandoned: IfAbandoned,
}

/// What happens to the entry of a waiter when its OS thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfAbandoned {
    /// It leaves the queue, or what the waiter was notified of is passed on.
    Leaves,
    /// It stays, with the value that it offers in its slot. The entry is leaked, so it stays valid.
    Stays,
}

impl<S, T> WaitParams<'_, S, T> {
    /// Adds an entry to the queue, with `value` in its slot, and releases `locked`. Then parks
    /// until notified (`Ok`) or until the deadline passes (`Err`). Both contain the value that is
    /// in the slot afterwards.
    ///
    /// If the waiter was notified, but unwinds instead of continuing, `on_unwind` is called with
    /// the value in the slot.
    pub(crate) fn park(
        self,
        locked: MutexGuard<'_, S>,
        value: Option<T>,
        on_unwind: impl FnOnce(Option<T>),
    ) -> Result<Option<T>, Option<T>> {
        self.park_with(locked, value, || {}, |_| {}, on_unwind)
    }

    /// Parks like [`Self::park`], with two more callbacks. `before_park` is called after the entry
    /// was added and `locked` was released, and before parking. `on_give_up` is called under the
    /// lock if the entry leaves the queue without having been notified.
    pub(crate) fn park_with(
        self,
        locked: MutexGuard<'_, S>,
        value: Option<T>,
        before_park: impl FnOnce(),
        on_give_up: impl Fn(&mut S),
        on_unwind: impl FnOnce(Option<T>),
    ) -> Result<Option<T>, Option<T>> {
        let entry = WaitEntry::new(value);
        // SAFETY:
        // - `WaitGuard` below removes the entry from the queue, however this function is left. It
        //   is declared after the entry, so it is dropped first;
        // - the entry has no token;
        // - `locked` holds the lock that protects the queue.
        unsafe { entry.enter((self.queue)(&locked), self.position) };
        let guard = WaitGuard {
            wait: &self,
            entry: &entry,
            on_give_up,
            on_unwind: Cell::new(Some(on_unwind)),
        };
        drop(locked);
        before_park();
        let park = || park_while(self.reason, self.deadline, || !entry.is_notified());
        match self.if_abandoned {
            IfAbandoned::Leaves => unless_abandoned(&|| guard.leave(), park),
            IfAbandoned::Stays => park(),
        };
        guard.on_unwind.set(None);
        match guard.end() {
            true => Ok(entry.take()),
            false => Err(entry.take()),
        }
    }
}

/// An entry in a queue, for as long as the wait lasts. If the waiter was notified, and unwinds or is
/// abandoned, the guard calls `on_unwind`.
struct WaitGuard<'a, S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> {
    wait: &'a WaitParams<'a, S, T>,
    entry: &'a WaitEntry<T>,
    on_give_up: G,
    on_unwind: Cell<Option<U>>,
}

impl<S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> WaitGuard<'_, S, T, G, U> {
    /// Ends the wait, after which the entry is in no queue. Returns `true` if the waiter was
    /// notified.
    fn end(&self) -> bool {
        if self.entry.is_notified() {
            return true;
        }
        let mut state = lock(self.wait.state);
        // SAFETY: the entry has entered this queue, and the lock is held.
        let gave_up = unsafe { self.entry.leave((self.wait.queue)(&state)) };
        if gave_up {
            (self.on_give_up)(&mut state);
        }
        !gave_up
    }

    /// Ends the wait of a waiter that will not continue.
    fn leave(&self) {
        if let Some(on_unwind) = self.on_unwind.take()
            && self.end()
        {
            on_unwind(self.entry.take());
        }
    }
}

impl<S, T, G: Fn(&mut S), U: FnOnce(Option<T>)> Drop for WaitGuard<'_, S, T, G, U> {
    fn drop(&mut self) {
        self.leave();
    }
}
