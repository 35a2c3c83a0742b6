//! `Permits`: a semaphore with a variable limit, which hands a released permit off to the longest
//! waiter.
//!
//! A permit counts as in use from the moment it is handed over, so no newcomer can take it first. A
//! waiter that unwinds after it was handed a permit, and before it could use it, releases it again.

use std::cell::Cell;
use std::time::Instant;

use evy_runtime::lowlevel::{WaitQueue, WaitReason, charge};

#[derive(Debug)]
pub(crate) struct Permits {
    limit: Cell<usize>,
    /// The permits that are held, or were handed to a waiter that has not run yet.
    in_use: Cell<usize>,
    waiting: WaitQueue,
}

impl Permits {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: Cell::new(limit),
            in_use: Cell::new(0),
            waiting: WaitQueue::new(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.get()
    }

    /// Returns the number of permits in use. It exceeds the limit after a [`resize`](Self::resize)
    /// to fewer, and after [`acquire_beyond_limit`](Self::acquire_beyond_limit).
    pub(crate) fn in_use(&self) -> usize {
        self.in_use.get()
    }

    /// Returns the number of permits that are not in use. It is negative if more are in use than
    /// the limit allows.
    pub(crate) fn free(&self) -> isize {
        // The limit may be larger than any `isize`.
        let signed = |count| isize::try_from(count).unwrap_or(isize::MAX);
        signed(self.limit.get()).saturating_sub(signed(self.in_use.get()))
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn is_exhausted(&self) -> bool {
        self.in_use.get() >= self.limit.get()
    }

    /// Takes a permit at once, even if none is available.
    pub(crate) fn acquire_beyond_limit(&self) {
        self.in_use.set(self.in_use.get() + 1);
    }

    /// Takes a permit if one is available. It overtakes no waiter: while a green thread waits, no
    /// permit is available.
    pub(crate) fn try_acquire(&self) -> bool {
        let is_available = !self.is_exhausted();
        if is_available {
            self.acquire_beyond_limit();
        }
        is_available
    }

    /// Charges a caller that need not wait for a permit to its budget. Yields if that is spent.
    pub(crate) fn charge(&self) {
        if !self.is_exhausted() {
            charge();
        }
    }

    /// Takes a permit, in FIFO order. Parks until there is one, or until `deadline` passes, in
    /// which case it returns `false`.
    ///
    /// `on_unwind` must release the permit. It is called if the waiter unwinds with one.
    pub(crate) fn acquire_deadline(
        &self,
        reason: WaitReason,
        deadline: Option<Instant>,
        on_unwind: impl FnOnce(),
    ) -> bool {
        self.charge();
        self.try_acquire() || self.waiting.wait_deadline_with(reason, deadline, on_unwind)
    }

    /// Takes a permit like [`acquire_deadline`](Self::acquire_deadline), without a deadline.
    pub(crate) fn acquire(&self, reason: WaitReason, on_unwind: impl FnOnce()) {
        if !self.acquire_deadline(reason, None, on_unwind) {
            // A killed green thread that cannot unwind (`panic = "abort"`) continues without a
            // permit.
            self.acquire_beyond_limit();
        }
    }

    /// Returns a permit, or hands it to the longest waiter.
    pub(crate) fn release(&self) {
        self.in_use.set(self.in_use.get() - 1);
        self.grant();
    }

    /// Changes the limit. Waiters for which there is a permit now continue.
    pub(crate) fn resize(&self, limit: usize) {
        self.limit.set(limit);
        self.grant();
    }

    /// Hands available permits off to the longest waiters.
    fn grant(&self) {
        while !self.is_exhausted() && self.waiting.wake_one() {
            self.in_use.set(self.in_use.get() + 1);
        }
    }
}
