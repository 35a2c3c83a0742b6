//! `RawMutex`: the lock of a `Mutex`, without the data that it protects.
//!
//! | `LOCKED` | `PARKED` | meaning |
//! | --- | --- | --- |
//! | 0 | 0 | Unlocked. If there are waiters, one of them has been woken and is about to try again. |
//! | 1 | 0 | Locked. If there are waiters, one of them has been woken and is about to try again. |
//! | 1 | 1 | Locked, and the holder must check the queue when it unlocks. |
//!
//! `LOCKED` is set by the caller that takes the lock, and cleared by the holder. `PARKED` is set
//! under the inner lock. It is cleared by the holder, while the holder has the inner lock too.
//! `PARKED` is never set without `LOCKED`.
//!
//! # Fairness
//!
//! A caller that finds the lock unlocked takes it, even if there are waiters. Otherwise a lock that
//! is taken and released a thousand times in one turn would cost a thousand context switches.
//!
//! A woken waiter loses the lock to a newcomer at most once:
//!
//! 1. The holder unlocks, and wakes the longest waiter without giving it the lock.
//! 2. If the lock has been taken by the time the woken waiter runs, the waiter parks again, at the
//!    front of the queue. It leaves a request for a handoff in its slot.
//! 3. When the current holder unlocks, it does not release the lock, but hands it off to that
//!    waiter.
//!
//! At most one wake-up is pending: until the woken waiter has run, no other waiter is woken. This
//! keeps FIFO order. The woken waiter is responsible for the waiters behind it. When it takes the
//! lock, it sets `PARKED` if there are any, so that it checks the queue when it unlocks. If it
//! unwinds instead, it wakes the next waiter.

use super::wait_list::{IfAbandoned, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{AtomicU8, Mutex, MutexGuard, Ordering, const_fn_unless_loom, lock};

const LOCKED: u8 = 1;
const PARKED: u8 = 2;

/// The value in a waiter's slot. Before the waiter is notified, it means that the waiter requests a
/// handoff. Afterwards, it means that the waiter holds the lock.
#[derive(Clone, Copy, Debug)]
struct Handoff;

#[derive(Debug)]
pub(crate) struct RawMutex {
    state: AtomicU8,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    waiters: WaitList<Handoff>,
    /// Whether a waiter has been woken that has neither tried to take the lock again nor unwound.
    wake_pending: bool,
}

impl RawMutex {
    const_fn_unless_loom! {
        pub(crate) fn new() -> Self {
            Self {
                state: AtomicU8::new(0),
                queue: Mutex::new(Queue {
                    waiters: WaitList::new(),
                    wake_pending: false,
                }),
            }
        }
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.cas(0, LOCKED, Ordering::Acquire)
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }

    /// Takes the lock, parking until it is available.
    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.lock_slow();
        }
    }

    #[cold]
    fn lock_slow(&self) {
        let mut wake_pending = false;
        loop {
            let mut queue = lock(&self.queue);
            if wake_pending {
                queue.wake_pending = false;
            }
            if self.try_lock_or_mark_parked(&queue) {
                return;
            }
            let (position, wants_handoff) = match wake_pending {
                true => (Position::Front, Some(Handoff)),
                false => (Position::Back, None),
            };
            let wait = WaitParams {
                state: &self.queue,
                queue: |queue: &Queue| &queue.waiters,
                position,
                reason: WaitReason::Lock,
                deadline: None,
                if_abandoned: IfAbandoned::Leaves,
            };
            let on_unwind = |held: Option<Handoff>| match held {
                Some(Handoff) => self.unlock(),
                None => self.pass_wake_on(),
            };
            match wait.park(queue, wants_handoff, on_unwind) {
                Ok(Some(Handoff)) => return,
                outcome => wake_pending = outcome.is_ok(),
            }
        }
    }

    /// Takes the lock if it is unlocked. Returns `true` if it has taken the lock.
    ///
    /// Afterwards `PARKED` is set if there are waiters, or if the caller has to wait. The holder,
    /// old or new, then checks the queue when it unlocks.
    ///
    /// The caller holds the inner lock.
    fn try_lock_or_mark_parked(&self, queue: &Queue) -> bool {
        let parked = if queue.waiters.is_empty() { 0 } else { PARKED };
        loop {
            let state = self.state.load(Ordering::Relaxed);
            let (next, taken) = match state {
                0 => (LOCKED | parked, true),
                _ => (LOCKED | PARKED, false),
            };
            if self.cas(state, next, Ordering::Acquire) {
                return taken;
            }
        }
    }

    /// Releases the lock, or hands it off. Called by the holder.
    #[inline]
    pub(crate) fn unlock(&self) {
        if !self.cas(LOCKED, 0, Ordering::Release) {
            self.unlock_slow(lock(&self.queue));
        }
    }

    #[cold]
    fn unlock_slow(&self, mut queue: MutexGuard<'_, Queue>) {
        // A woken waiter that has not run yet takes care of the waiters behind it.
        let next = match queue.wake_pending {
            true => None,
            false => queue.waiters.notify_front(|slot| slot.get().is_some()),
        };
        let state = match next {
            Some((_, true)) if queue.waiters.is_empty() => LOCKED,
            Some((_, true)) => LOCKED | PARKED,
            _ => 0,
        };
        queue.wake_pending |= matches!(next, Some((_, false)));
        // A plain store suffices: while the lock is held, only its holder changes the state without
        // the inner lock.
        self.state.store(state, Ordering::Release);
        drop(queue);
        if let Some((pending, _)) = next {
            pending.unpark();
        }
    }

    /// Wakes the next waiter. Called for a waiter that was woken, but unwinds instead of taking the
    /// lock.
    fn pass_wake_on(&self) {
        let mut queue = lock(&self.queue);
        queue.wake_pending = false;
        if !queue.waiters.is_empty() && self.try_lock_or_mark_parked(&queue) {
            self.unlock_slow(queue);
        }
    }

    fn cas(&self, from: u8, to: u8, order: Ordering) -> bool {
        self.state
            .compare_exchange(from, to, order, Ordering::Relaxed)
            .is_ok()
    }
}
