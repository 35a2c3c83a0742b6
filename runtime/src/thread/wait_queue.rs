//! Those who wait for one thing, first come first served: the base of joins, pools and all tools of
//! coordination of one OS thread.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ptr::NonNull;
use std::time::Instant;

use super::interrupt;
use super::selection::SelectToken;
use crate::green::{GreenRef, WaitReason, Wake};
use crate::list::{List, Node};
use crate::sched::{self, Scheduler};

/// A queue of parked green threads of one OS thread.
///
/// Whoever waits is woken in the order of arrival, and leaves the queue however its wait ends: by a
/// wake-up, a deadline, or by unwinding. Each place has a slot for a `T`: the waiter may bring one,
/// for who wakes it to take, and who wakes it may leave one there.
///
/// # Examples
///
/// ```
/// use evy::lowlevel::{WaitQueue, WaitReason};
/// use std::rc::Rc;
///
/// let queue: Rc<WaitQueue> = Rc::default();
/// let other = Rc::clone(&queue);
/// let waiter = evy::spawn(move || other.wait(WaitReason::Other("the door to open")));
/// evy::yield_now();
/// assert_eq!(queue.len(), 1);
/// assert!(queue.wake_one());
/// waiter.join().unwrap();
/// ```
pub struct WaitQueue<T = ()> {
    waiters: List<Waiter<T>>,
}

/// What stands in a place of the queue.
struct Waiter<T> {
    /// Of the green thread that entered last.
    green: Cell<GreenRef>,
    slot: Cell<Option<T>>,
    /// It stands in other queues too.
    token: Cell<Option<SelectToken>>,
}

impl WaitQueue {
    /// An empty queue. Never parks.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_slots()
    }
}

impl<T> WaitQueue<T> {
    /// An empty queue for waiters that something is handed to, or taken from. Never parks.
    #[must_use]
    pub const fn with_slots() -> Self {
        Self {
            waiters: List::new(),
        }
    }

    /// Parks until somebody wakes this place in the queue.
    ///
    /// # Panics
    ///
    /// On the root green thread, when nothing can wake anybody any more.
    pub fn wait(&self, reason: WaitReason) {
        self.wait_deadline_with(reason, None, || {});
    }

    /// Parks until woken (`true`) or until `deadline` has come (`false`); `None` never comes.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    #[inline(always)]
    pub fn wait_deadline(&self, reason: WaitReason, deadline: Option<Instant>) -> bool {
        self.wait_deadline_with(reason, deadline, || {})
    }

    /// As [`wait_deadline`](Self::wait_deadline), for wake-ups that hand something over: if the
    /// waiter was woken, but unwinds instead of going on, `on_unwind` is called.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    #[inline(always)]
    pub fn wait_deadline_with(
        &self,
        reason: WaitReason,
        deadline: Option<Instant>,
        on_unwind: impl FnOnce(),
    ) -> bool {
        self.wait_with_slot(reason, deadline, None, |_| on_unwind())
            .is_ok()
    }

    /// Parks until woken or until `deadline` has come, with `value` in the slot. Returns what is
    /// in the slot afterwards: `Ok` if woken, `Err` if not.
    ///
    /// If the waiter was woken, but unwinds instead of going on, `on_unwind` gets the slot.
    ///
    /// # Errors
    ///
    /// The slot, if the deadline came first.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    #[inline(always)]
    pub fn wait_with_slot(
        &self,
        reason: WaitReason,
        deadline: Option<Instant>,
        value: Option<T>,
        on_unwind: impl FnOnce(Option<T>),
    ) -> Result<Option<T>, Option<T>> {
        let scheduler = sched::current();
        let mut guard = WaitGuard {
            queue: self,
            entry: WaitEntry::new(scheduler, value),
            on_unwind: Some(on_unwind),
        };
        // SAFETY: the place does not move before it is dropped, or known to have left the queue, and
        // takes its entry out when it is dropped.
        unsafe { guard.entry.enter(self) };
        loop {
            let wake = interrupt::wait(scheduler, reason, deadline);
            if !guard.entry.is_waiting() {
                // It has left, and goes on: nothing is left for the place to do.
                guard.on_unwind = None;
                let slot = guard.entry.take();
                mem::forget(guard);
                return Ok(slot);
            }
            if wake != Wake::Unparked {
                guard.on_unwind = None;
                return Err(guard.entry.take());
            }
            // Something else has unparked this green thread: it is not what it waits for.
        }
    }

    /// Takes whoever has waited longest, and has not been chosen elsewhere, out of the queue. `f`
    /// gets its slot, before it is woken.
    #[inline(always)]
    fn wake_front<R>(&self, f: impl FnOnce(&Cell<Option<T>>) -> R) -> Option<R> {
        loop {
            let node = self.waiters.pop_front()?;
            // SAFETY: it was linked a moment ago, so it is valid ([linked-is-pinned]), and stays so
            // until its green thread runs.
            let waiter = unsafe { &node.as_ref().value };
            if let Some(token) = waiter.token.get() {
                // SAFETY: as above, for its choice.
                if !unsafe { token.try_select() } {
                    continue;
                }
            }
            let result = f(&waiter.slot);
            // SAFETY: a scheduler outlives its green threads, also where they are abandoned.
            let scheduler = unsafe { &*waiter.green.get().scheduler.cast::<Scheduler>() };
            scheduler.unpark(waiter.green.get(), Wake::Unparked);
            return Some(result);
        }
    }

    /// Wakes whoever has waited longest. `false`: nobody waits. Never parks.
    pub fn wake_one(&self) -> bool {
        self.wake_front(|_| ()).is_some()
    }

    /// Leaves `value` in the slot of whoever has waited longest, and wakes it. Never parks.
    ///
    /// # Errors
    ///
    /// The value, if nobody waits.
    #[inline(always)]
    pub fn wake_one_with(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.wake_front(|slot| slot.set(value.take()));
        value.map_or(Ok(()), Err)
    }

    /// Takes what the one that has waited longest has brought, and wakes it. Never parks.
    #[inline]
    pub fn wake_one_taking(&self) -> Option<T> {
        self.wake_front(Cell::take).flatten()
    }

    /// Wakes all who wait, longest waiting first, and returns their number. Never parks: so nobody
    /// comes meanwhile.
    #[inline]
    pub fn wake_all(&self) -> usize {
        let mut woken = 0;
        while self.wake_one() {
            woken += 1;
        }
        woken
    }

    /// How many wait. Never parks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits. Never parks.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        Self::with_slots()
    }
}

impl<T> fmt::Debug for WaitQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A place in a queue, as memory: who stands there owns it.
pub(crate) struct WaitEntry<T> {
    node: Node<Waiter<T>>,
}

impl<T> WaitEntry<T> {
    #[inline(always)]
    pub(crate) fn new(scheduler: &Scheduler, value: Option<T>) -> Self {
        Self {
            node: Node::new(Waiter {
                green: Cell::new(scheduler.running()),
                slot: Cell::new(value),
                token: Cell::new(None),
            }),
        }
    }

    /// Makes it one of several places of the running green thread. It is in no queue.
    pub(crate) fn prepare(&self, scheduler: &Scheduler, token: SelectToken) {
        debug_assert!(!self.is_waiting());
        let waiter = &self.node.value;
        waiter.green.set(scheduler.running());
        waiter.token.set(Some(token));
    }

    /// Joins the queue, behind all others.
    ///
    /// # Safety
    ///
    /// The entry neither moves nor dies, nor does its ticket's choice, until it was woken or has
    /// left: `[linked-is-pinned]`.
    #[inline(always)]
    pub(crate) unsafe fn enter(&self, queue: &WaitQueue<T>) {
        // SAFETY: valid, and it stays where it is (caller).
        unsafe { queue.waiters.push_back(NonNull::from(&self.node)) };
    }

    /// Leaves the queue, which must be the one that was entered, if any.
    ///
    /// # Safety
    ///
    /// `queue` is the one that was entered.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self, queue: &WaitQueue<T>) {
        // SAFETY: linked there, or not any more (caller).
        unsafe { queue.waiters.remove(NonNull::from(&self.node)) };
    }

    /// Still in the queue: nobody has woken it.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.node.is_linked()
    }

    /// What is in the slot.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<T> {
        self.node.value.slot.take()
    }

    /// Leaves `value` in the slot, while it is in no queue.
    pub(crate) fn set_slot(&self, value: Option<T>) {
        self.node.value.slot.set(value);
    }
}

/// A place in a queue, for as long as the wait lasts.
struct WaitGuard<'a, T, G: FnOnce(Option<T>)> {
    queue: &'a WaitQueue<T>,
    entry: WaitEntry<T>,
    on_unwind: Option<G>,
}

impl<T, G: FnOnce(Option<T>)> Drop for WaitGuard<'_, T, G> {
    fn drop(&mut self) {
        let woken = !self.entry.is_waiting();
        // SAFETY: entered in this queue.
        unsafe { self.entry.leave(self.queue) };
        if let Some(on_unwind) = self.on_unwind.take().filter(|_| woken) {
            on_unwind(self.entry.take());
        }
    }
}
