//! `ResourceState`: what the handles and the guards of one resource pool share.
//!
//! A green thread that wants a resource first acquires a *permit*, of which there are `max_size`.
//! Then it takes an idle resource, or creates one. A waiter is handed a permit, never a resource:
//! if it unwinds, it only has to pass on the permit. Since only the holder of a permit that finds
//! nothing idle creates a resource, there are never more resources than permits.
//!
//! `create` and the destructors of resources may park, unwind and call the pool again. Nothing is
//! borrowed while they run, and the permit they run under is released by a destructor in turn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;
use std::time::Instant;

use evy_runtime::lowlevel::WaitReason;

use crate::permits::Permits;

const REASON: WaitReason = WaitReason::Other("a resource of a pool");

#[derive(Debug)]
pub(crate) struct ResourceState<T> {
    permits: Permits,
    /// The number of resources that are idle, in use or being created.
    size: Cell<usize>,
    /// The longest idle resource comes first.
    idle: RefCell<VecDeque<T>>,
    as_stack: bool,
}

impl<T> ResourceState<T> {
    pub(crate) fn new(max_size: usize, as_stack: bool) -> Rc<Self> {
        Rc::new(Self {
            permits: Permits::new(max_size),
            size: Cell::new(0),
            idle: RefCell::default(),
            as_stack,
        })
    }

    pub(crate) fn max_size(&self) -> usize {
        self.permits.limit()
    }

    pub(crate) fn size(&self) -> usize {
        self.size.get()
    }

    pub(crate) fn free(&self) -> isize {
        self.permits.free()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// Takes a permit if one is available.
    pub(crate) fn try_acquire(self: &Rc<Self>) -> Option<ResourcePermit<T>> {
        let acquired = self.permits.try_acquire();
        acquired.then(|| ResourcePermit(Rc::clone(self)))
    }

    /// Takes a permit in FIFO order, or returns `None` once `deadline` has passed.
    pub(crate) fn acquire_deadline(
        self: &Rc<Self>,
        deadline: Option<Instant>,
    ) -> Option<ResourcePermit<T>> {
        let on_unwind = || self.permits.release();
        let acquired = self.permits.acquire_deadline(REASON, deadline, on_unwind);
        acquired.then(|| ResourcePermit(Rc::clone(self)))
    }

    /// Takes a permit in FIFO order. Parks until there is one.
    pub(crate) fn acquire(self: &Rc<Self>) -> ResourcePermit<T> {
        self.permits.acquire(REASON, || self.permits.release());
        ResourcePermit(Rc::clone(self))
    }

    /// Changes the limit. Waiters for which there is a permit now continue; idle resources beyond
    /// the new limit are discarded.
    pub(crate) fn resize(&self, max_size: usize) {
        self.permits.resize(max_size);
        while self.has_excess() {
            let Some(oldest) = self.idle.borrow_mut().pop_front() else {
                return;
            };
            self.discard(oldest);
        }
    }

    /// Takes the idle resource that is to be used next.
    pub(crate) fn pop_idle(&self) -> Option<T> {
        let mut idle = self.idle.borrow_mut();
        if self.as_stack {
            idle.pop_back()
        } else {
            idle.pop_front()
        }
    }

    /// Creates a resource. It is not counted if `create` fails or unwinds.
    pub(crate) fn create<E>(&self, create: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.size.set(self.size.get() + 1);
        let guard = CreateGuard(self);
        let resource = create()?;
        mem::forget(guard);
        Ok(resource)
    }

    /// Makes a resource idle, or discards it if the pool has shrunk.
    pub(crate) fn put_idle(&self, resource: T) {
        if self.has_excess() {
            self.discard(resource);
        } else {
            self.idle.borrow_mut().push_back(resource);
        }
    }

    /// Drops a resource. It stops counting before its destructor runs: the destructor may park, and
    /// meanwhile no other resource may be discarded as excess.
    pub(crate) fn discard(&self, resource: T) {
        self.forget();
        drop(resource);
    }

    /// Stops counting a resource as part of this pool.
    pub(crate) fn forget(&self) {
        self.size.set(self.size.get() - 1);
    }

    fn has_excess(&self) -> bool {
        self.size.get() > self.max_size()
    }
}

/// A resource that is being created. It is no longer counted when this is dropped.
struct CreateGuard<'a, T>(&'a ResourceState<T>);

impl<T> Drop for CreateGuard<'_, T> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

/// The right to have one resource. It is released when dropped.
#[derive(Debug)]
pub(crate) struct ResourcePermit<T>(Rc<ResourceState<T>>);

impl<T> ResourcePermit<T> {
    pub(crate) fn state(&self) -> &ResourceState<T> {
        &self.0
    }
}

impl<T> Drop for ResourcePermit<T> {
    fn drop(&mut self) {
        self.0.permits.release();
    }
}
