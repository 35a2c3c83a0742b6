//! The stock of a resource pool: what lies idle, how many exist, who has a place, who waits for one.
//!
//! Whoever wants a resource first takes a *place*, of which there are `max_size`; then it takes what
//! lies idle, or creates. What is handed to a waiter is the place, never the resource: a waiter that
//! unwinds with it in hand passes it on, and has nothing else to lose. Since only those create who
//! have a place and find nothing idle, no more exist than there are places.
//!
//! `create` and destructors may park, unwind, and call the pool again: nothing here is borrowed
//! while they run, and the place they run in is given back by a destructor in turn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use evy_runtime::lowlevel::{WaitQueue, WaitReason};

#[derive(Debug)]
pub(crate) struct ResourceState<T> {
    max_size: Cell<usize>,
    /// Resources that lie idle, are in use or are being created.
    size: Cell<usize>,
    /// Places that somebody has, or has been woken for.
    in_use: Cell<usize>,
    /// Idle longest first.
    idle: RefCell<VecDeque<T>>,
    as_stack: bool,
    waiting: WaitQueue,
}

impl<T> ResourceState<T> {
    pub(crate) fn new(max_size: usize, as_stack: bool) -> Self {
        Self {
            max_size: Cell::new(max_size),
            size: Cell::new(0),
            in_use: Cell::new(0),
            idle: RefCell::default(),
            as_stack,
            waiting: WaitQueue::new(),
        }
    }

    pub(crate) fn max_size(&self) -> usize {
        self.max_size.get()
    }

    pub(crate) fn size(&self) -> usize {
        self.size.get()
    }

    pub(crate) fn in_use(&self) -> usize {
        self.in_use.get()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A place, if one is free: then nobody waits. Never parks.
    pub(crate) fn try_take(self: &Rc<Self>) -> Option<ResourcePermit<T>> {
        self.has_place().then(|| self.issue_permit())
    }

    /// A place, or `None` when the deadline has come. First come, first served.
    pub(crate) fn take_until(
        self: &Rc<Self>,
        deadline: Option<Instant>,
    ) -> Option<ResourcePermit<T>> {
        let reason = WaitReason::Other("a resource of a pool");
        self.try_take().or_else(|| {
            self.waiting
                .wait_deadline_with(reason, deadline, || self.release_permit())
                .then(|| ResourcePermit(Rc::clone(self)))
        })
    }

    /// As [`take_until`](Self::take_until), without end.
    pub(crate) fn take(self: &Rc<Self>) -> ResourcePermit<T> {
        // A killed green thread that cannot unwind (`panic = "abort"`) has to go on: over the limit.
        self.take_until(None).unwrap_or_else(|| self.issue_permit())
    }

    /// Waiters go on at once, idle resources beyond the new size are destroyed.
    pub(crate) fn resize(&self, max_size: usize) {
        self.max_size.set(max_size);
        self.grant_free();
        while self.is_excessive() {
            let Some(oldest) = self.idle.borrow_mut().pop_front() else {
                return;
            };
            self.discard(oldest);
        }
    }

    /// What is to be used next of what lies idle.
    pub(crate) fn pop_idle(&self) -> Option<T> {
        let mut idle = self.idle.borrow_mut();
        if self.as_stack {
            idle.pop_back()
        } else {
            idle.pop_front()
        }
    }

    /// One more, unless `create` fails or unwinds.
    pub(crate) fn create<E>(&self, create: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.size.set(self.size.get() + 1);
        let guard = CreateGuard(self);
        let resource = create()?;
        std::mem::forget(guard);
        Ok(resource)
    }

    /// Keeps it, or destroys it if the pool has shrunk.
    pub(crate) fn put_idle(&self, resource: T) {
        if self.is_excessive() {
            self.discard(resource);
        } else {
            self.idle.borrow_mut().push_back(resource);
        }
    }

    /// Counted out first: while a destructor parks, others must not be taken for the excess.
    pub(crate) fn discard(&self, resource: T) {
        self.forget();
        drop(resource);
    }

    /// It is no longer one of this pool.
    pub(crate) fn forget(&self) {
        self.size.set(self.size.get() - 1);
    }

    fn has_place(&self) -> bool {
        self.in_use.get() < self.max_size.get()
    }

    fn is_excessive(&self) -> bool {
        self.size.get() > self.max_size.get()
    }

    fn issue_permit(self: &Rc<Self>) -> ResourcePermit<T> {
        self.in_use.set(self.in_use.get() + 1);
        ResourcePermit(Rc::clone(self))
    }

    fn release_permit(&self) {
        self.in_use.set(self.in_use.get() - 1);
        self.grant_free();
    }

    /// Free places go straight to those who wait, so that nobody can slip in between.
    fn grant_free(&self) {
        while self.has_place() && self.waiting.wake_one() {
            self.in_use.set(self.in_use.get() + 1);
        }
    }
}

/// A resource that does not exist yet; released unless it comes to be.
struct CreateGuard<'a, T>(&'a ResourceState<T>);

impl<T> Drop for CreateGuard<'_, T> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

/// The right to have one resource; given back when dropped.
#[derive(Debug)]
pub(crate) struct ResourcePermit<T>(Rc<ResourceState<T>>);

impl<T> ResourcePermit<T> {
    pub(crate) fn state(&self) -> &ResourceState<T> {
        &self.0
    }
}

impl<T> Drop for ResourcePermit<T> {
    fn drop(&mut self) {
        self.0.release_permit();
    }
}
