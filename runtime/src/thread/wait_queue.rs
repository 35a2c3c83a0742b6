//! `WaitQueue`: green threads that wait for one thing, in FIFO order. The basis of joins, pools and
//! all synchronization within one OS thread.

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
/// Waiters are woken in FIFO order. A waiter leaves the queue however its wait ends: by a wake-up,
/// by a deadline, or by unwinding.
///
/// Each waiter has a slot for a `T`. The waiter may put a value in it, for the waker to take. The
/// waker may put a value in it, for the waiter to take.
///
/// Only the methods that say so park.
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

/// The value of a queue's node: one waiter.
struct Waiter<T> {
    /// The green thread that last entered a queue with this node.
    green: Cell<GreenRef>,
    slot: Cell<Option<T>>,
    /// Set if the green thread waits in several queues.
    token: Cell<Option<SelectToken>>,
}

impl WaitQueue {
    /// Creates an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_slots()
    }
}

impl<T> WaitQueue<T> {
    /// Creates an empty queue with a value slot for each waiter, through which something is handed
    /// to the waiter or taken from it.
    #[must_use]
    pub const fn with_slots() -> Self {
        Self {
            waiters: List::new(),
        }
    }

    /// Parks at the back of the queue until woken.
    ///
    /// `reason` appears in deadlock reports.
    ///
    /// # Panics
    ///
    /// Panics on the root green thread if a deadlock is detected.
    pub fn wait(&self, reason: WaitReason) {
        self.wait_deadline_with(reason, None, || {});
    }

    /// Parks at the back of the queue until woken, or until `deadline` passes.
    ///
    /// Returns `true` if the green thread was woken. A deadline of `None` never passes.
    ///
    /// # Panics
    ///
    /// Panics as [`wait`](Self::wait) does.
    #[inline(always)]
    pub fn wait_deadline(&self, reason: WaitReason, deadline: Option<Instant>) -> bool {
        self.wait_deadline_with(reason, deadline, || {})
    }

    /// Parks like [`wait_deadline`](Self::wait_deadline). Calls `on_unwind` if the waiter was
    /// woken, but unwinds instead of continuing.
    ///
    /// This is for wake-ups that hand something over: `on_unwind` can pass it on.
    ///
    /// # Panics
    ///
    /// Panics as [`wait`](Self::wait) does.
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

    /// Parks like [`wait_deadline`](Self::wait_deadline), with `value` in the waiter's slot.
    /// Returns the content of the slot after the wake-up.
    ///
    /// If the waiter was woken, but unwinds instead of continuing, `on_unwind` is called with the
    /// content of the slot.
    ///
    /// # Errors
    ///
    /// Returns the content of the slot if the deadline passed first.
    ///
    /// # Panics
    ///
    /// Panics as [`wait`](Self::wait) does.
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
        // SAFETY:
        // - the guard does not move until it is dropped, or until its entry has left the queue;
        // - when it is dropped, the guard removes its entry from the queue.
        unsafe { guard.entry.enter(self) };
        loop {
            let wake = interrupt::wait(scheduler, reason, deadline);
            if !guard.entry.is_waiting() {
                // The entry has left the queue, and this green thread continues, so the guard has
                // nothing to do.
                guard.on_unwind = None;
                let slot = guard.entry.take();
                mem::forget(guard);
                return Ok(slot);
            }
            if wake != Wake::Unparked {
                // SAFETY: the entry has entered this queue.
                unsafe { guard.entry.leave(self) };
                let slot = guard.entry.take();
                // Dropped when no waker can reach the entry, because that may run code of the
                // program.
                guard.on_unwind = None;
                return Err(slot);
            }
            // Something else has unparked this green thread, so it keeps waiting.
        }
    }

    /// Removes the longest waiter that no other queue has selected, and wakes it. Before that, `f`
    /// is called with its slot.
    ///
    /// `f` must not run code of the program, not even a destructor. Such code may park, and then
    /// the waiter may leave and take its entry with it. What was in the slot is therefore returned,
    /// and dropped once the waiter has been woken.
    #[inline(always)]
    fn wake_front<R>(&self, f: impl FnOnce(&Cell<Option<T>>) -> R) -> Option<R> {
        loop {
            let node = self.waiters.pop_front()?;
            // SAFETY: the node was linked until now, so it is valid ([linked-is-pinned]). It stays
            // valid until its green thread runs. None runs before the end of this iteration,
            // because no code of the program does: that of `f` is in this module.
            let waiter = unsafe { &node.as_ref().value };
            if let Some(token) = waiter.token.get() {
                // SAFETY: as above, for the selection of the token.
                if !unsafe { token.try_select() } {
                    continue;
                }
            }
            let result = f(&waiter.slot);
            // SAFETY: a scheduler outlives its green threads, even if they are abandoned.
            let scheduler = unsafe { &*waiter.green.get().scheduler.cast::<Scheduler>() };
            scheduler.unpark(waiter.green.get(), Wake::Unparked);
            return Some(result);
        }
    }

    /// Wakes the longest waiter. Returns `false` if there is none.
    pub fn wake_one(&self) -> bool {
        self.wake_front(|_| ()).is_some()
    }

    /// Puts `value` in the slot of the longest waiter, and wakes it. A value that the waiter has put
    /// there is dropped afterwards.
    ///
    /// # Errors
    ///
    /// Returns the value if there is no waiter.
    #[inline(always)]
    pub fn wake_one_with(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        drop(self.wake_front(|slot| slot.replace(value.take())));
        value.map_or(Ok(()), Err)
    }

    /// Wakes the longest waiter and returns the value in its slot.
    ///
    /// Returns `None` if there is no waiter. A waiter with an empty slot is woken too, and `None`
    /// is returned.
    #[inline]
    pub fn wake_one_taking(&self) -> Option<T> {
        self.wake_front(Cell::take).flatten()
    }

    /// Wakes all waiters in FIFO order, and returns their number.
    ///
    /// It does not park, so no waiter can arrive meanwhile.
    #[inline]
    pub fn wake_all(&self) -> usize {
        let mut woken = 0;
        while self.wake_one() {
            woken += 1;
        }
        woken
    }

    /// Returns the number of waiters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Returns `true` if there are no waiters.
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

/// The memory of an entry in a queue. The waiter owns it.
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

    /// Makes this one of several entries of the running green thread, while it is in no queue.
    pub(crate) fn prepare(&self, scheduler: &Scheduler, token: SelectToken) {
        debug_assert!(!self.is_waiting());
        let waiter = &self.node.value;
        waiter.green.set(scheduler.running());
        waiter.token.set(Some(token));
    }

    /// Adds the entry to the back of `queue`.
    ///
    /// # Safety
    ///
    /// Until the entry has been woken or has left the queue, neither it nor the selection of its
    /// token moves or is dropped: `[linked-is-pinned]`.
    #[inline(always)]
    pub(crate) unsafe fn enter(&self, queue: &WaitQueue<T>) {
        // SAFETY: the node is valid and does not move (caller).
        unsafe { queue.waiters.push_back(NonNull::from(&self.node)) };
    }

    /// Removes the entry from `queue`, if it is still there.
    ///
    /// # Safety
    ///
    /// `queue` is the one that was entered, if any was.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self, queue: &WaitQueue<T>) {
        // SAFETY: the node is linked in this queue, or not linked at all (caller).
        unsafe { queue.waiters.remove(NonNull::from(&self.node)) };
    }

    /// Whether the entry is still in the queue, so it has not been woken.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.node.is_linked()
    }

    /// Takes the value in the slot.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<T> {
        self.node.value.slot.take()
    }

    /// Puts `value` in the slot, while the entry is in no queue.
    pub(crate) fn set_slot(&self, value: Option<T>) {
        self.node.value.slot.set(value);
    }
}

/// An entry in a queue, for as long as the wait lasts. If the waiter was woken and unwinds, the
/// guard calls `on_unwind`.
struct WaitGuard<'a, T, G: FnOnce(Option<T>)> {
    queue: &'a WaitQueue<T>,
    entry: WaitEntry<T>,
    on_unwind: Option<G>,
}

impl<T, G: FnOnce(Option<T>)> Drop for WaitGuard<'_, T, G> {
    fn drop(&mut self) {
        let woken = !self.entry.is_waiting();
        // SAFETY: the entry has entered this queue.
        unsafe { self.entry.leave(self.queue) };
        if let Some(on_unwind) = self.on_unwind.take().filter(|_| woken) {
            on_unwind(self.entry.take());
        }
    }
}
