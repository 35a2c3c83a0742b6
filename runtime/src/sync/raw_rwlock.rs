//! `RawRwLock`: the lock of an `RwLock`, without the data that it protects.
//!
//! | state | meaning |
//! | --- | --- |
//! | 0 | unlocked |
//! | `n * READER` | held by `n` readers |
//! | `WRITER` | held by a writer |
//! | any of these, with `PARKED` | as above, and there are waiters |
//!
//! While `PARKED` is set, newcomers queue up behind the waiters, and the last holder to unlock must
//! check the queue. `PARKED` changes only under the inner lock.
//!
//! The lock is always handed off: to the writer at the front of the queue, or to all readers ahead
//! of the first writer. This prevents starvation. Writers cannot starve behind a stream of new
//! readers, nor readers behind a stream of new writers.

use super::wait_list::{IfAbandoned, PendingUnpark, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{
    AtomicUsize, Cell, Mutex, MutexGuard, Ordering, const_fn_unless_loom, lock,
};

const WRITER: usize = 1;
const PARKED: usize = 2;
const READER: usize = 4;

/// New readers are refused from this state on, long before the count of readers could overflow.
const MAX_READERS: usize = usize::MAX / 2;

/// The kind of access that a waiter waits for.
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
            assert!(state < MAX_READERS, "too many readers of one `RwLock`");
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

    /// Whether any reader or writer holds the lock.
    pub(super) fn is_held(&self) -> bool {
        self.state.load(Ordering::Relaxed) & !PARKED != 0
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
            if_abandoned: IfAbandoned::Leaves,
        };
        // A notified waiter already holds the lock, so unwinding must release it.
        let on_unwind = |_| match access {
            Access::Read => self.unlock_read(),
            Access::Write => self.unlock_write(),
        };
        // Readers that are queued behind a writer that gives up may be able to join the current
        // readers.
        let on_give_up = |waiters: &mut WaitList<Access>| unpark(self.wake_readers(waiters));
        wait.park_with(waiters, Some(access), || {}, on_give_up, on_unwind)
            .is_ok()
    }

    /// Takes the lock if it is available and there are no waiters. Otherwise sets `PARKED`, so that
    /// the last holder to unlock checks the queue. Returns `true` if it has taken the lock.
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

    /// Releases the lock. The last of the readers hands it off if there are waiters. Called by a
    /// reader.
    #[inline]
    pub(super) fn unlock_read(&self) {
        let before = self.state.fetch_sub(READER, Ordering::Release);
        if before == READER | PARKED {
            self.hand_off(lock(&self.waiters), 0);
        }
    }

    /// Releases the lock, or hands it off if there are waiters. Called by the writer.
    #[inline]
    pub(super) fn unlock_write(&self) {
        let free = self
            .state
            .compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed);
        if free.is_err() {
            self.hand_off(lock(&self.waiters), WRITER);
        }
    }

    /// Turns the writer into a reader, and lets in the readers at the front of the queue. Called by
    /// the writer.
    pub(super) fn downgrade(&self) {
        let waiters = lock(&self.waiters);
        // `Release`, so that the readers that this lets in see what was written.
        self.state.fetch_add(READER - WRITER, Ordering::Release);
        let all = self.wake_readers(&waiters);
        drop(waiters);
        unpark(all);
    }

    /// Hands the lock off to the waiters at the front of the queue. `holder` is the part of the
    /// state that still belongs to the holder that unlocks: `WRITER`, or 0 if it was a reader.
    #[cold]
    fn hand_off(&self, waiters: MutexGuard<'_, WaitList<Access>>, holder: usize) {
        if waiters.is_empty() {
            // All waiters have given up.
            self.state.fetch_and(!(holder | PARKED), Ordering::Release);
            return;
        }
        // There are waiters, so `PARKED` is set, and the lock can be taken only under the inner
        // lock, which is held here. But the lock may have been taken before the inner lock was
        // acquired. Then the new holder hands it off when it unlocks.
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

    /// Lets in the readers at the front of the queue, unless a writer holds the lock.
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
