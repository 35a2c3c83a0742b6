//! The lock itself, without what it protects.
//!
//! | `LOCKED` | `PARKED` | |
//! | --- | --- | --- |
//! | 0 | 0 | free |
//! | 1 | 0 | held, nobody waits |
//! | 1 | 1 | held, and the holder must look into the queue when it unlocks |
//! | 0 | 1 | free, one was invited, others wait behind it |
//!
//! `LOCKED` is set by who takes the lock, and cleared by the holder. `PARKED` changes under the inner
//! lock only. Who finds the lock free takes it, also before those who wait: a lock that is taken and
//! released a thousand times in one turn should not cost a thousand switches. But each waiter is
//! passed over once at most: it is *invited* first, and if somebody was quicker it waits again, at the
//! head, and *demands*: then the holder does not release the lock but hands it over.

use super::waiters::{End, Wait, Waiters};
use crate::green::WaitReason;
use crate::primitive::{AtomicU8, Mutex, Ordering, constructor, lock};

const LOCKED: u8 = 1;
const PARKED: u8 = 2;

/// In the slot of a waiter: before it is told, that it demands; afterwards, that it holds the lock.
#[derive(Debug)]
struct Handover;

#[derive(Debug)]
pub(crate) struct RawMutex {
    state: AtomicU8,
    waiters: Mutex<Waiters<Handover>>,
}

impl RawMutex {
    constructor! {
        pub(crate) fn new() -> Self {
            Self {
                state: AtomicU8::new(0),
                waiters: Mutex::new(Waiters::new()),
            }
        }
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state & LOCKED == 0 && self.change(state, state | LOCKED, Ordering::Acquire)
    }

    /// Parks until the lock is held.
    #[inline]
    pub(crate) fn lock(&self) {
        if !self.change(0, LOCKED, Ordering::Acquire) {
            while !self.lock_slowly() {}
        }
    }

    #[cold]
    fn lock_slowly(&self) -> bool {
        let mut end = End::Back;
        let mut demand = None;
        loop {
            let waiters = lock(&self.waiters);
            if self.take_or_announce() {
                return true;
            }
            let wait = Wait {
                state: &self.waiters,
                queue: |waiters| waiters,
                end,
                reason: WaitReason::Lock,
                deadline: None,
            };
            let undo = |held: Option<Handover>| match held {
                Some(Handover) => self.unlock(),
                None => self.decline(),
            };
            match wait.park(waiters, demand.take(), undo) {
                Ok(Some(Handover)) => return true,
                Ok(None) => (end, demand) = (End::Front, Some(Handover)),
                Err(_) => return false,
            }
        }
    }

    /// Takes the lock if it is free. If not, the holder will look into the queue. Under the inner
    /// lock.
    fn take_or_announce(&self) -> bool {
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & LOCKED == 0 {
                if self.change(state, state | LOCKED, Ordering::Acquire) {
                    return true;
                }
            } else if state & PARKED != 0 || self.change(state, state | PARKED, Ordering::Relaxed) {
                return false;
            }
        }
    }

    /// By the holder. Never parks.
    #[inline]
    pub(crate) fn unlock(&self) {
        if !self.change(LOCKED, 0, Ordering::Release) {
            self.unlock_slowly();
        }
    }

    #[cold]
    fn unlock_slowly(&self) {
        let waiters = lock(&self.waiters);
        let told = waiters.tell(|slot| {
            let demand = slot.take();
            let demands = demand.is_some();
            slot.set(demand);
            demands
        });
        let parked = if waiters.is_empty() { 0 } else { PARKED };
        let (told, handed) = told.map_or((None, false), |(told, handed)| (Some(told), handed));
        let locked = if handed { LOCKED } else { 0 };
        // Nobody else changes the state of a held lock without the inner one.
        self.state.store(locked | parked, Ordering::Release);
        drop(waiters);
        if let Some(told) = told {
            told.unpark();
        }
    }

    /// One that was invited will not come: the next one is to be.
    fn decline(&self) {
        // The one that has invited may not be done yet; its state is true when it is.
        drop(lock(&self.waiters));
        if self.try_lock() {
            self.unlock();
        }
    }

    fn change(&self, from: u8, to: u8, order: Ordering) -> bool {
        self.state
            .compare_exchange(from, to, order, Ordering::Relaxed)
            .is_ok()
    }
}
