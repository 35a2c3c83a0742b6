//! The readers-writer lock itself, without what it protects.
//!
//! The state is the number of readers, in units of `READER`, or `WRITER`, and `PARKED`, which says
//! that somebody waits, so that newcomers queue up behind, and that who leaves last must look into
//! the queue. `PARKED` changes under the inner lock only.
//!
//! The lock is always handed over: to the writer at the head of the queue, or to all readers that
//! stand before the first writer. So nobody starves, neither writers behind ever new readers nor the
//! other way round.

use super::wait_list::{PendingUnpark, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{
    AtomicUsize, Cell, Mutex, MutexGuard, Ordering, const_fn_unless_loom, lock,
};

const WRITER: usize = 1;
const PARKED: usize = 2;
const READER: usize = 4;

/// More readers than this are refused, long before the count could overflow.
const MAX_READERS: usize = usize::MAX / 2;

/// What a waiter is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

#[derive(Debug)]
pub(super) struct RawRwLock {
    state: AtomicUsize,
    waiters: Mutex<WaitList<Access>>,
}

impl RawRwLock {
    const_fn_unless_loom! {
        pub(super) fn new() -> Self {
            Self {
                state: AtomicUsize::new(0),
                waiters: Mutex::new(WaitList::new()),
            }
        }
    }

    #[inline]
    pub(super) fn try_read(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & (WRITER | PARKED) == 0 {
            assert!(state < MAX_READERS, "too many readers");
            match self.cas(state, state + READER) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    #[inline]
    pub(super) fn try_write(&self) -> bool {
        self.cas(0, WRITER).is_ok()
    }

    #[inline]
    pub(super) fn read(&self) {
        if !self.try_read() {
            while !self.lock_slow(Access::Read) {}
        }
    }

    #[inline]
    pub(super) fn write(&self) {
        if !self.try_write() {
            while !self.lock_slow(Access::Write) {}
        }
    }

    fn cas(&self, from: usize, to: usize) -> Result<usize, usize> {
        self.state
            .compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed)
    }

    #[cold]
    fn lock_slow(&self, access: Access) -> bool {
        let waiters = lock(&self.waiters);
        if self.try_lock_or_mark_parked(&waiters, access) {
            return true;
        }
        let wait = WaitParams {
            state: &self.waiters,
            queue: |waiters| waiters,
            position: Position::Back,
            reason: match access {
                Access::Read => WaitReason::ReadLock,
                Access::Write => WaitReason::WriteLock,
            },
            deadline: None,
        };
        // Told is handed over, so who unwinds then is a holder.
        let on_unwind = |_| match access {
            Access::Read => self.unlock_read(),
            Access::Write => self.unlock_write(),
        };
        // Readers that stood behind a writer which gives up may join those who read.
        let on_give_up = |waiters: &mut WaitList<Access>| unpark(self.wake_readers(waiters));
        wait.park_with(waiters, Some(access), || {}, on_give_up, on_unwind)
            .is_ok()
    }

    /// Takes the lock where nobody stands before; else whoever leaves last will look into the queue.
    fn try_lock_or_mark_parked(&self, waiters: &WaitList<Access>, access: Access) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let holders = state & !PARKED;
            let free = match access {
                Access::Read => holders & WRITER == 0,
                Access::Write => holders == 0,
            };
            let (next, taken) = match (free && waiters.is_empty(), access) {
                (true, Access::Read) => (holders + READER, true),
                (true, Access::Write) => (WRITER, true),
                (false, _) => (state | PARKED, false),
            };
            match self.cas(state, next) {
                Ok(_) => return taken,
                Err(now) => state = now,
            }
        }
    }

    /// By one who reads. Never parks.
    #[inline]
    pub(super) fn unlock_read(&self) {
        let before = self.state.fetch_sub(READER, Ordering::Release);
        if before == READER | PARKED {
            self.hand_off(lock(&self.waiters), 0);
        }
    }

    /// By the one who writes. Never parks.
    #[inline]
    pub(super) fn unlock_write(&self) {
        let free = self
            .state
            .compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed);
        if free.is_err() {
            self.hand_off(lock(&self.waiters), WRITER);
        }
    }

    /// By the one who writes: reads from here on, and so do those at the head who wait to. Never
    /// parks.
    pub(super) fn downgrade(&self) {
        let waiters = lock(&self.waiters);
        // What was written is to be seen by the readers that this lets in.
        self.state.fetch_add(READER - WRITER, Ordering::Release);
        let all = self.wake_readers(&waiters);
        drop(waiters);
        unpark(all);
    }

    /// Gives the lock to those at the head of the queue. `holder` is what is left in the state of
    /// who leaves.
    #[cold]
    fn hand_off(&self, waiters: MutexGuard<'_, WaitList<Access>>, holder: usize) {
        if waiters.is_empty() {
            // They have given up.
            self.state.fetch_and(!(holder | PARKED), Ordering::Release);
            return;
        }
        // Somebody waits, so `PARKED` is set, and nobody takes the lock without the inner one. But
        // before that was ours somebody may have.
        if self.state.load(Ordering::Acquire) != holder | PARKED {
            return;
        }
        let all = match waiters.peek(Cell::get) {
            Some(Some(Access::Write)) => {
                self.state.store(WRITER | PARKED, Ordering::Release);
                let pending = waiters.notify_front(|_| ());
                self.clear_parked_if_empty(&waiters);
                pending.map(|(pending, ())| pending).into_iter().collect()
            }
            _ => {
                self.state.store(PARKED, Ordering::Release);
                self.wake_readers(&waiters)
            }
        };
        drop(waiters);
        unpark(all);
    }

    /// Lets in the readers at the head of the queue, unless somebody writes.
    fn wake_readers(&self, waiters: &WaitList<Access>) -> Vec<PendingUnpark> {
        let mut all = Vec::new();
        while self.state.load(Ordering::Relaxed) & WRITER == 0
            && waiters.peek(Cell::get) == Some(Some(Access::Read))
        {
            self.state.fetch_add(READER, Ordering::Relaxed);
            all.extend(waiters.notify_front(|_| ()).map(|(pending, ())| pending));
        }
        self.clear_parked_if_empty(waiters);
        all
    }

    fn clear_parked_if_empty(&self, waiters: &WaitList<Access>) {
        if waiters.is_empty() {
            self.state.fetch_and(!PARKED, Ordering::Relaxed);
        }
    }
}

fn unpark(all: Vec<PendingUnpark>) {
    for pending in all {
        pending.unpark();
    }
}
