//! `FutureWaits`: the descriptors that the futures inside of a `block_on` wait for.
//!
//! A future that would have to wait leaves its waker and the descriptor here. The green thread parks
//! in `block_on` for all its futures at once, and only then it is queued at the descriptors. An event
//! unparks it, and it calls the waker of that descriptor itself. A waker is code of the program, so
//! neither the reactor nor the scheduler may call it.
//!
//! A future may also call functions that park. Meanwhile the green thread is queued at none of these
//! descriptors, because it would use up an event that another waiter needs, or that the function
//! itself waits for. What has become ready in between is seen before the green thread parks in
//! `block_on`.
//!
//! A future that was dropped leaves its entry behind. It does no harm: its event wakes the next
//! waiter of the descriptor too, and the end of `block_on` removes it.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::Waker;

use super::readiness::ReadinessWaiter;
use crate::reactor::Direction;
use crate::thread::LocalKey;

/// Those of all calls of `block_on` that are open on this green thread.
static CURRENT: LocalKey<Rc<FutureWaits>> = LocalKey::new(Rc::default);

/// What a future waits for: the address of what stands for the descriptor, and the direction.
pub(super) type Key = (usize, Direction);

#[derive(Debug, Default)]
pub(crate) struct FutureWaits {
    /// The number of calls of `block_on` that are open.
    depth: Cell<usize>,
    waits: RefCell<Vec<FutureWait>>,
}

#[derive(Debug)]
struct FutureWait {
    key: Key,
    /// The number of calls of `block_on` that were open.
    depth: usize,
    waiter: ReadinessWaiter,
    /// Whether the descriptor has become ready.
    is_due: Cell<bool>,
    waker: Waker,
}

impl FutureWaits {
    /// Begins a call of `block_on`, which lasts until the guard is dropped. It has to call
    /// [`wake_due`](Self::wake_due) after the green thread has parked.
    pub(crate) fn enter() -> FutureWaitsGuard {
        // Where the locals have been dropped, no future can wait for a descriptor.
        let waits = CURRENT.try_with(Rc::clone).unwrap_or_default();
        waits.depth.set(waits.depth.get() + 1);
        FutureWaitsGuard(waits)
    }

    /// Returns those of the green thread that runs.
    ///
    /// # Errors
    ///
    /// Returns `Unsupported` outside of `block_on`.
    pub(super) fn current() -> io::Result<Rc<Self>> {
        let waits = CURRENT.try_with(Rc::clone).unwrap_or_default();
        if waits.depth.get() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a future can wait for this descriptor only inside of `evy::block_on`",
            ));
        }
        Ok(waits)
    }

    /// Makes an event of `waiter` call `waker`. There is one waker for each key. One that is
    /// replaced is called, because its future may still wait.
    pub(super) fn add(&self, key: Key, waiter: ReadinessWaiter, waker: &Waker) {
        let new = FutureWait {
            key,
            depth: self.depth.get(),
            waiter,
            is_due: Cell::new(false),
            waker: waker.clone(),
        };
        let mut waits = self.waits.borrow_mut();
        let old = match waits.iter_mut().find(|wait| wait.key == key) {
            Some(old) => Some(mem::replace(old, new)),
            None => {
                waits.push(new);
                None
            }
        };
        drop(waits);
        if let Some(old) = old
            && !old.waker.will_wake(waker)
        {
            old.waker.wake();
        }
    }

    /// Queues the green thread at all descriptors, until the guard is dropped. It must not poll a
    /// future before that.
    pub(crate) fn queue(&self) -> QueuedWaits<'_> {
        for wait in &*self.waits.borrow() {
            match wait.waiter.is_ready() {
                true => wait.is_due.set(true),
                false => wait.waiter.queue(),
            }
        }
        QueuedWaits(self)
    }

    /// Calls the wakers of the descriptors that have become ready.
    pub(crate) fn wake_due(&self) {
        while let Some(wait) = self.take(|wait| wait.is_due.get()) {
            wait.waker.wake();
        }
    }

    fn take(&self, is_wanted: impl Fn(&FutureWait) -> bool) -> Option<FutureWait> {
        let mut waits = self.waits.borrow_mut();
        let index = waits.iter().position(is_wanted)?;
        Some(waits.swap_remove(index))
    }
}

/// The green thread is queued at the descriptors of its futures.
#[derive(Debug)]
pub(crate) struct QueuedWaits<'a>(&'a FutureWaits);

impl QueuedWaits<'_> {
    /// Whether [`FutureWaits::wake_due`] has something to do.
    pub(crate) fn is_any_due(&self) -> bool {
        let waits = self.0.waits.borrow();
        let is_due = |wait: &FutureWait| wait.is_due.get() || wait.waiter.is_notified();
        waits.iter().any(is_due)
    }
}

impl Drop for QueuedWaits<'_> {
    fn drop(&mut self) {
        for wait in &*self.0.waits.borrow() {
            if wait.waiter.unqueue() {
                wait.is_due.set(true);
            }
        }
    }
}

/// An open call of `block_on`.
#[derive(Debug)]
pub(crate) struct FutureWaitsGuard(Rc<FutureWaits>);

impl std::ops::Deref for FutureWaitsGuard {
    type Target = FutureWaits;

    fn deref(&self) -> &FutureWaits {
        &self.0
    }
}

impl Drop for FutureWaitsGuard {
    fn drop(&mut self) {
        let depth = self.0.depth.get();
        self.0.depth.set(depth - 1);
        // The waiters must not outlive the wait of their green thread.
        while let Some(wait) = self.0.take(|wait| wait.depth >= depth) {
            drop(wait);
        }
    }
}
