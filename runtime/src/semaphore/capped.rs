//! A semaphore that is bounded at both ends.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::green::WaitReason;
use crate::thread::WaitQueue;

/// A semaphore whose [`release`](Self::release) parks too: while there are as many permits as its
/// limit. With a limit of zero, each acquire meets a release.
///
/// It stays on its OS thread. A clone is another handle to the same semaphore.
///
/// # Examples
///
/// ```
/// use evy::CappedSemaphore;
///
/// let meeting = CappedSemaphore::new(0, 0);
/// let other = meeting.clone();
/// let acquirer = evy::spawn(move || other.acquire());
/// meeting.release();
/// acquirer.join().unwrap();
/// ```
#[derive(Clone)]
pub struct CappedSemaphore(Rc<State>);

struct State {
    permits: Cell<usize>,
    limit: usize,
    /// They wait for a permit, so there is none.
    acquirers: WaitQueue,
    /// Each has a permit that there is no room for.
    releasers: WaitQueue,
}

impl CappedSemaphore {
    /// A semaphore with `permits` now, and at most `limit`. Never parks.
    ///
    /// # Panics
    ///
    /// If `permits` is more than `limit`.
    #[must_use]
    pub fn new(permits: usize, limit: usize) -> Self {
        assert!(
            permits <= limit,
            "a semaphore cannot begin with {permits} permits where {limit} is the limit"
        );
        Self(Rc::new(State {
            permits: Cell::new(permits),
            limit,
            acquirers: WaitQueue::new(),
            releasers: WaitQueue::new(),
        }))
    }

    /// Takes a permit. Parks until there is one; who has waited longest comes first.
    ///
    /// # Panics
    ///
    /// On the root green thread, when nothing can wake anybody any more.
    pub fn acquire(&self) {
        let state = &self.0;
        let give_back = || state.add();
        while !self.try_acquire()
            && !state
                .acquirers
                .wait_deadline_with(WaitReason::Acquire, None, give_back)
        {}
    }

    /// Adds a permit. Parks until there is room; who has waited longest comes first.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn release(&self) {
        let state = &self.0;
        while !self.try_release() && !state.releasers.wait_deadline(WaitReason::Release, None) {}
    }

    /// Takes a permit, if there is one or somebody waits to release one. Never parks.
    #[must_use = "without a permit there is nothing to release"]
    pub fn try_acquire(&self) -> bool {
        let state = &self.0;
        if state.permits.get() == 0 {
            return state.releasers.wake_one();
        }
        state.permits.set(state.permits.get() - 1);
        if state.permits.get() < state.limit && state.releasers.wake_one() {
            state.add();
        }
        true
    }

    /// Adds a permit, if there is room or somebody waits for one. Never parks.
    #[must_use = "without room nothing was released"]
    pub fn try_release(&self) -> bool {
        let state = &self.0;
        if state.permits.get() >= state.limit && state.acquirers.is_empty() {
            return false;
        }
        state.add();
        true
    }

    /// The permits there are, less those who wait for one, less the room for more, and plus those
    /// who wait for room: zero where it is half full. Never parks.
    #[must_use]
    pub fn balance(&self) -> isize {
        let state = &self.0;
        let signed = usize::cast_signed;
        let permits = signed(state.permits.get()) - signed(state.acquirers.len());
        let room = signed(state.limit) - signed(state.permits.get());
        permits - (room - signed(state.releasers.len()))
    }
}

impl State {
    /// A permit more, for whoever has waited longest if anybody has.
    fn add(&self) {
        if !self.acquirers.wake_one() {
            self.permits.set(self.permits.get() + 1);
        }
    }
}

impl fmt::Debug for CappedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CappedSemaphore")
            .field("permits", &self.0.permits.get())
            .field("limit", &self.0.limit)
            .finish_non_exhaustive()
    }
}
