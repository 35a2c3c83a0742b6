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

use super::waiters::{End, Wait, Waiters};
use crate::green::WaitReason;
use crate::primitive::{AtomicU8, Mutex, MutexGuard, Ordering, constructor, lock};

const LOCKED: u8 = 1;
const PARKED: u8 = 2;

/// In the slot of a waiter: before it is told, that it demands; afterwards, that it holds the lock.
#[derive(Clone, Copy, Debug)]
struct Handover;

#[derive(Debug)]
pub(crate) struct RawMutex {
    state: AtomicU8,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    waiters: Waiters<Handover>,
    /// One was, and has neither come nor declined yet.
    invited: bool,
}

impl RawMutex {
    constructor! {
        pub(crate) fn new() -> Self {
            Self {
                state: AtomicU8::new(0),
                queue: Mutex::new(Queue {
                    waiters: Waiters::new(),
                    invited: false,
                }),
            }
        }
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.change(0, LOCKED, Ordering::Acquire)
    }

    /// Parks until the lock is held.
    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.lock_slowly();
        }
    }

    #[cold]
    fn lock_slowly(&self) {
        let mut invited = false;
        loop {
            let mut queue = lock(&self.queue);
            if invited {
                queue.invited = false;
            }
            if self.take_or_announce(&queue) {
                return;
            }
            let (end, demand) = match invited {
                true => (End::Front, Some(Handover)),
                false => (End::Back, None),
            };
            let wait = Wait {
                state: &self.queue,
                queue: |queue: &Queue| &queue.waiters,
                end,
                reason: WaitReason::Lock,
                deadline: None,
            };
            let undo = |held: Option<Handover>| match held {
                Some(Handover) => self.unlock(),
                None => self.decline(),
            };
            match wait.park(queue, demand, undo) {
                Ok(Some(Handover)) => return,
                outcome => invited = outcome.is_ok(),
            }
        }
    }

    /// Takes the lock if it is free. Whoever holds it then will look into the queue, if there is
    /// reason to. Under the inner lock.
    fn take_or_announce(&self, queue: &Queue) -> bool {
        let parked = if queue.waiters.is_empty() { 0 } else { PARKED };
        loop {
            let state = self.state.load(Ordering::Relaxed);
            let (next, taken) = match state {
                0 => (LOCKED | parked, true),
                _ => (LOCKED | PARKED, false),
            };
            if self.change(state, next, Ordering::Acquire) {
                return taken;
            }
        }
    }

    /// By the holder. Never parks.
    #[inline]
    pub(crate) fn unlock(&self) {
        if !self.change(LOCKED, 0, Ordering::Release) {
            self.release(lock(&self.queue));
        }
    }

    #[cold]
    fn release(&self, mut queue: MutexGuard<'_, Queue>) {
        // The one that is on its way sees to the others.
        let next = match queue.invited {
            true => None,
            false => queue.waiters.tell(|slot| slot.get().is_some()),
        };
        let state = match next {
            Some((_, true)) if queue.waiters.is_empty() => LOCKED,
            Some((_, true)) => LOCKED | PARKED,
            _ => 0,
        };
        queue.invited |= matches!(next, Some((_, false)));
        // Nobody else changes the state of a held lock without the inner one.
        self.state.store(state, Ordering::Release);
        drop(queue);
        if let Some((told, _)) = next {
            told.unpark();
        }
    }

    /// One that was invited will not come: the next one is to be.
    fn decline(&self) {
        let mut queue = lock(&self.queue);
        queue.invited = false;
        if !queue.waiters.is_empty() && self.take_or_announce(&queue) {
            self.release(queue);
        }
    }

    fn change(&self, from: u8, to: u8, order: Ordering) -> bool {
        self.state
            .compare_exchange(from, to, order, Ordering::Relaxed)
            .is_ok()
    }
}
