//! `CappedSemaphore`: a semaphore on which releasing parks too, while it has its maximum of
//! permits.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::signed;
use crate::green::WaitReason;
use crate::thread::{WaitQueue, charge, charge_try};

/// A semaphore with a limit: [`release`](Self::release) parks too, while there are as many permits
/// as the limit.
///
/// With a limit of 0, each acquire and each release waits for its counterpart.
///
/// A semaphore stays on its OS thread. A clone is another handle to the same semaphore. Only the
/// methods that say so park.
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
    /// Waiters for a permit. While there are any, no permit is available.
    acquirers: WaitQueue,
    /// Waiters for room. Each brings a permit for which there is no room yet.
    releasers: WaitQueue,
}

impl CappedSemaphore {
    /// Creates a semaphore with `permits` permits, and at most `limit`.
    ///
    /// # Panics
    ///
    /// Panics if `permits` is more than `limit`.
    #[must_use]
    pub fn new(permits: usize, limit: usize) -> Self {
        assert!(
            permits <= limit,
            "a semaphore with a limit of {limit} cannot begin with {permits} permits"
        );
        Self(Rc::new(State {
            permits: Cell::new(permits),
            limit,
            acquirers: WaitQueue::new(),
            releasers: WaitQueue::new(),
        }))
    }

    /// Takes a permit.
    ///
    /// Parks until there is one. Waiters are served in FIFO order.
    ///
    /// # Panics
    ///
    /// Panics on the root green thread if a deadlock is detected.
    pub fn acquire(&self) {
        let state = &self.0;
        charge(|| state.permits.get() == 0 && state.releasers.is_empty());
        let give_back = || state.add();
        while !state.take_permit()
            && !state
                .acquirers
                .wait_deadline_with(WaitReason::Acquire, None, give_back)
        {}
    }

    /// Adds a permit.
    ///
    /// Parks until there is room. Waiters are served in FIFO order.
    ///
    /// # Panics
    ///
    /// Panics as [`acquire`](Self::acquire) does.
    pub fn release(&self) {
        let state = &self.0;
        charge(|| !state.has_room());
        while !state.add_if_room() && !state.releasers.wait_deadline(WaitReason::Release, None) {}
    }

    /// Takes a permit if there is one or a releaser waits, without parking. Returns `true` if it
    /// has taken one.
    #[must_use = "a permit must be released only if it was acquired"]
    pub fn try_acquire(&self) -> bool {
        charge_try(|| self.0.take_permit(), |acquired| !acquired)
    }

    /// Adds a permit if there is room or an acquirer waits, without parking. Returns `true` if it
    /// has added one.
    #[must_use = "no permit is added if there is no room"]
    pub fn try_release(&self) -> bool {
        charge_try(|| self.0.add_if_room(), |released| !released)
    }

    /// Takes a permit like [`acquire`](Self::acquire), and returns a guard that gives it back when
    /// dropped.
    ///
    /// Parks until there is a permit.
    ///
    /// # Panics
    ///
    /// Panics as `acquire` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let slots = evy::CappedSemaphore::new(1, 1);
    /// let slot = slots.acquire_guard();
    /// assert_eq!(slots.available_permits(), 0);
    /// drop(slot);
    /// assert_eq!(slots.available_permits(), 1);
    /// ```
    pub fn acquire_guard(&self) -> CappedSemaphoreGuard {
        self.acquire();
        CappedSemaphoreGuard(self.clone())
    }

    /// Returns the number of permits that can be taken without parking, including those that parked
    /// releasers bring. While it is 0, [`acquire`](Self::acquire) parks.
    #[doc(alias = "locked")]
    #[must_use]
    pub fn available_permits(&self) -> usize {
        let state = &self.0;
        state.permits.get().saturating_add(state.releasers.len())
    }

    /// Returns `permits - acquirers - (limit - permits) + releasers`.
    ///
    /// `acquirers` and `releasers` are the numbers of green threads parked in
    /// [`acquire`](Self::acquire) and [`release`](Self::release). The result is 0 if the semaphore
    /// is half full.
    #[must_use]
    pub fn balance(&self) -> isize {
        let state = &self.0;
        let permits = signed(state.permits.get());
        let available = permits.saturating_sub(signed(state.acquirers.len()));
        let room = signed(state.limit).saturating_sub(permits);
        available.saturating_sub(room.saturating_sub(signed(state.releasers.len())))
    }
}

impl State {
    fn take_permit(&self) -> bool {
        if self.permits.get() == 0 {
            return self.releasers.wake_one();
        }
        self.permits.set(self.permits.get() - 1);
        if self.permits.get() < self.limit && self.releasers.wake_one() {
            self.add();
        }
        true
    }

    fn has_room(&self) -> bool {
        self.permits.get() < self.limit || !self.acquirers.is_empty()
    }

    fn add_if_room(&self) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.add();
        }
        has_room
    }

    /// Adds a permit, or hands it off to the longest waiting acquirer.
    fn add(&self) {
        if !self.acquirers.wake_one() {
            // Only a guard adds beyond the limit, and its destructor must not panic.
            self.permits.set(self.permits.get().saturating_add(1));
        }
    }
}

/// A permit of a [`CappedSemaphore`], which is given back when the guard is dropped.
///
/// Dropping a guard never parks. If there is no room, because permits were added meanwhile, the
/// semaphore has more permits than its limit until the excess is taken.
#[derive(Debug)]
#[must_use = "the permit is given back at once if the guard is not kept"]
pub struct CappedSemaphoreGuard(CappedSemaphore);

impl Drop for CappedSemaphoreGuard {
    fn drop(&mut self) {
        self.0.0.add();
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
