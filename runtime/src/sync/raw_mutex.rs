//! The lock itself, without what it protects.
//!
//! | `LOCKED` | `PARKED` | |
//! | --- | --- | --- |
//! | 0 | 0 | free; if somebody waits, one of them was invited |
//! | 1 | 0 | held, as above |
//! | 1 | 1 | held, and the holder must look into the queue when it unlocks |
//!
//! `LOCKED` is set by who takes the lock, and cleared by the holder. `PARKED` is set under the inner
//! lock, and cleared by the holder that has it.
//!
//! Who finds the lock free takes it, also before those who wait: a lock that is taken and released a
//! thousand times in one turn should not cost a thousand switches. But each waiter is passed over
//! once at most: it is *invited* first, and if somebody was quicker it waits again, at the head, and
//! *demands*: then the holder does not release the lock but hands it over. While one is on its way
//! nobody else is invited, so that the order stays, and those behind are the care of the one that was.

use super::wait_list::{Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{AtomicU8, Mutex, MutexGuard, Ordering, const_fn_unless_loom, lock};

const LOCKED: u8 = 1;
const PARKED: u8 = 2;

/// In the slot of a waiter: before it is told, that it demands; afterwards, that it holds the lock.
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
    /// One was, and has neither come nor declined yet.
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

    /// Parks until the lock is held.
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

    /// Takes the lock if it is free. Whoever holds it then will look into the queue, if there is
    /// reason to. Under the inner lock.
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

    /// By the holder. Never parks.
    #[inline]
    pub(crate) fn unlock(&self) {
        if !self.cas(LOCKED, 0, Ordering::Release) {
            self.unlock_slow(lock(&self.queue));
        }
    }

    #[cold]
    fn unlock_slow(&self, mut queue: MutexGuard<'_, Queue>) {
        // The one that is on its way sees to the others.
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
        // Nobody else changes the state of a held lock without the inner one.
        self.state.store(state, Ordering::Release);
        drop(queue);
        if let Some((pending, _)) = next {
            pending.unpark();
        }
    }

    /// One that was invited will not come: the next one is to be.
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
