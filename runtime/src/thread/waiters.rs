//! Those who wait for one thing, first come first served: the base of joins, pools and all tools of
//! coordination.

use std::fmt;
use std::ptr::NonNull;
use std::time::Instant;

use super::interrupt;
use crate::green::{GreenRef, WaitReason, Wake};
use crate::list::{List, Node};
use crate::sched::{self, Scheduler};

/// A queue of parked green threads of one OS thread.
///
/// Whoever waits is woken in the order of arrival, and leaves the queue however its wait ends: by a
/// wake-up, a deadline, or by unwinding.
///
/// # Examples
///
/// ```
/// use evy_runtime::lowlevel::{WaitQueue, WaitReason};
/// use std::rc::Rc;
///
/// let queue = Rc::new(WaitQueue::new());
/// let other = Rc::clone(&queue);
/// let waiter = evy_runtime::spawn(move || other.wait(WaitReason::Other("the door to open")));
/// evy_runtime::yield_now();
/// assert_eq!(queue.len(), 1);
/// assert!(queue.wake_one());
/// waiter.join().unwrap();
/// ```
pub struct WaitQueue {
    waiters: List<GreenRef>,
}

impl WaitQueue {
    /// An empty queue. Never parks.
    #[must_use]
    pub const fn new() -> Self {
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
        self.wait_or_else(reason, None, || {});
    }

    /// Parks until woken (`true`) or until `deadline` has come (`false`); `None` never comes.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&self, reason: WaitReason, deadline: Option<Instant>) -> bool {
        self.wait_or_else(reason, deadline, || {})
    }

    /// As [`wait_deadline`](Self::wait_deadline), for wake-ups that hand something over: if the
    /// waiter was woken, but unwinds instead of going on, `give_back` is called.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_or_else(
        &self,
        reason: WaitReason,
        deadline: Option<Instant>,
        give_back: impl FnOnce(),
    ) -> bool {
        let scheduler = sched::current();
        let node = Node::new(scheduler.running());
        // SAFETY: the place below unlinks the node, whichever way this function is left, and is
        // declared after it, so dropped before.
        unsafe { self.waiters.push_back(NonNull::from(&node)) };
        let mut place = Place {
            queue: self,
            node: &node,
            give_back: Some(give_back),
        };
        loop {
            let wake = interrupt::wait(scheduler, reason, deadline);
            if !node.is_linked() {
                place.give_back = None;
                return true;
            }
            if wake != Wake::Unparked {
                place.give_back = None;
                return false;
            }
            // Something else has unparked this green thread: it is not what it waits for.
        }
    }

    /// Wakes whoever has waited longest. `false`: nobody waits. Never parks.
    pub fn wake_one(&self) -> bool {
        let Some(node) = self.waiters.pop_front() else {
            return false;
        };
        // SAFETY: it was linked a moment ago, so it is valid, and so is its green thread.
        let green = unsafe { node.as_ref() }.value;
        // SAFETY: a scheduler outlives its green threads, also where they are abandoned.
        let scheduler = unsafe { &*green.scheduler.cast::<Scheduler>() };
        scheduler.unpark(green, Wake::Unparked);
        true
    }

    /// Wakes all who wait now, longest waiting first, and returns their number. Never parks.
    pub fn wake_all(&self) -> usize {
        let all = self.len();
        for _ in 0..all {
            self.wake_one();
        }
        all
    }

    /// How many wait. Never parks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits. Never parks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A place in a queue, for as long as the wait lasts.
struct Place<'a, G: FnOnce()> {
    queue: &'a WaitQueue,
    node: &'a Node<GreenRef>,
    give_back: Option<G>,
}

impl<G: FnOnce()> Drop for Place<'_, G> {
    fn drop(&mut self) {
        let woken = !self.node.is_linked();
        // SAFETY: linked in this queue, or not any more.
        unsafe { self.queue.waiters.remove(NonNull::from(self.node)) };
        if let Some(give_back) = self.give_back.take().filter(|_| woken) {
            give_back();
        }
    }
}
