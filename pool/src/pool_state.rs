//! The places of a pool: who has one, who waits for one, who waits for all to be free.
//!
//! A place that comes free goes straight to whoever has waited longest: it counts as taken from that
//! moment on, so nobody can slip in between. If that waiter unwinds before it gets to use the place,
//! it passes it on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use evy_runtime::lowlevel::{WaitQueue, WaitReason, current_id};
use evy_runtime::thread::KillHandle;

#[derive(Debug)]
pub(crate) struct PoolState {
    size: Cell<usize>,
    in_use: Cell<usize>,
    waiting: WaitQueue,
    idle: WaitQueue,
    /// The green threads that may ask a full pool for more: they cannot wait for themselves.
    members: RefCell<HashSet<u64>>,
    /// How to end the jobs, by number.
    killers: RefCell<BTreeMap<u64, KillHandle>>,
    jobs: Cell<u64>,
}

impl PoolState {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size: Cell::new(size),
            in_use: Cell::new(0),
            waiting: WaitQueue::new(),
            idle: WaitQueue::new(),
            members: RefCell::default(),
            killers: RefCell::default(),
            jobs: Cell::new(0),
        }
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

    pub(crate) fn is_full(&self) -> bool {
        self.in_use.get() >= self.size.get()
    }

    pub(crate) fn is_member(&self) -> bool {
        self.members.borrow().contains(&current_id())
    }

    pub(crate) fn resize(&self, size: usize) {
        self.size.set(size);
        self.grant_free();
    }

    /// A place, if one is free and nobody has waited longer. Never parks.
    pub(crate) fn try_take(self: &Rc<Self>) -> Option<Slot> {
        if self.is_full() || !self.waiting.is_empty() {
            return None;
        }
        self.in_use.set(self.in_use.get() + 1);
        Some(Slot::new(self))
    }

    /// A place. Parks until there is one; first come, first served.
    pub(crate) fn take(self: &Rc<Self>) -> Slot {
        if let Some(slot) = self.try_take() {
            return slot;
        }
        // Whoever gives up may have been the last that `wait_idle` waits for.
        let notify_idle = NotifyIdleOnUnwind(self);
        self.waiting
            .wait_deadline_with(WaitReason::PoolSlot, None, || self.release_permit());
        std::mem::forget(notify_idle);
        Slot::new(self)
    }

    /// Parks until no place is taken and nobody waits for one.
    pub(crate) fn wait_idle(&self) {
        while !self.is_idle() {
            self.idle.wait(WaitReason::PoolIdle);
        }
    }

    /// Nobody who waits for a pool without any place will ever get one.
    fn is_idle(&self) -> bool {
        self.in_use.get() == 0 && (self.waiting.is_empty() || self.size.get() == 0)
    }

    fn release_permit(&self) {
        self.in_use.set(self.in_use.get() - 1);
        self.grant_free();
    }

    fn grant_free(&self) {
        while !self.is_full() && !self.waiting.is_empty() {
            self.in_use.set(self.in_use.get() + 1);
            self.waiting.wake_one();
        }
        if self.is_idle() {
            self.idle.wake_all();
        }
    }

    /// Remembers how to end the job in a place.
    pub(crate) fn register(&self, job: u64, killer: KillHandle) {
        self.killers.borrow_mut().insert(job, killer);
    }

    /// Ends all jobs but the caller, in the order they were spawned.
    pub(crate) fn kill_all(&self) {
        let all: Vec<KillHandle> = self.killers.borrow().values().cloned().collect();
        for killer in all {
            killer.kill();
        }
    }

    /// Makes the running green thread a member for as long as the guard lives.
    pub(crate) fn enter(self: &Rc<Self>) -> MemberGuard {
        let id = current_id();
        self.members.borrow_mut().insert(id);
        MemberGuard {
            state: Rc::clone(self),
            id,
        }
    }
}

/// See [`PoolState::take`].
struct NotifyIdleOnUnwind<'a>(&'a PoolState);

impl Drop for NotifyIdleOnUnwind<'_> {
    fn drop(&mut self) {
        if self.0.is_idle() {
            self.0.idle.wake_all();
        }
    }
}

/// A taken place; given back when dropped, however its job ends.
#[derive(Debug)]
pub(crate) struct Slot {
    state: Rc<PoolState>,
    job: u64,
}

impl Slot {
    fn new(state: &Rc<PoolState>) -> Self {
        let job = state.jobs.get() + 1;
        state.jobs.set(job);
        Self {
            state: Rc::clone(state),
            job,
        }
    }

    pub(crate) fn job(&self) -> u64 {
        self.job
    }

    /// Runs the job, as a member of the pool.
    pub(crate) fn run<T>(self, f: impl FnOnce() -> T) -> T {
        let _member = self.state.enter();
        f()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.state.killers.borrow_mut().remove(&self.job);
        self.state.release_permit();
    }
}

/// See [`PoolState::join`].
#[derive(Debug)]
pub(crate) struct MemberGuard {
    state: Rc<PoolState>,
    id: u64,
}

impl Drop for MemberGuard {
    fn drop(&mut self) {
        self.state.members.borrow_mut().remove(&self.id);
    }
}
