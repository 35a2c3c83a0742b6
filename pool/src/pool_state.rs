//! `PoolState`: what the handles, the jobs and the iterators of one `GreenPool` share.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::panic::Location;
use std::rc::Rc;

use evy_runtime::lowlevel::{
    MAX_INLINE_CLOSURE, WaitQueue, WaitReason, charge, current_id, spawn_at, spawn_scoped_at,
};
use evy_runtime::thread::{JoinHandle, KillHandle, Scope};

use crate::permits::Permits;

/// The source location that a job is spawned at.
pub(crate) type SpawnSite = &'static Location<'static>;

#[derive(Debug)]
pub(crate) struct PoolState {
    permits: Permits,
    /// The waiters for the pool to become idle.
    idle: WaitQueue,
    /// The green threads that must not wait for a permit, because they would wait for themselves:
    /// by id, with the number of the job that each of them runs, if it runs one.
    members: RefCell<HashMap<u64, Option<u64>>>,
    /// The running jobs, by number.
    jobs: RefCell<BTreeMap<u64, KillHandle>>,
    last_job: Cell<u64>,
}

impl PoolState {
    pub(crate) fn new(size: usize) -> Rc<Self> {
        Rc::new(Self {
            permits: Permits::new(size),
            idle: WaitQueue::new(),
            members: RefCell::default(),
            jobs: RefCell::default(),
            last_job: Cell::new(0),
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.permits.limit()
    }

    pub(crate) fn running(&self) -> usize {
        self.permits.in_use()
    }

    pub(crate) fn free(&self) -> isize {
        self.permits.free()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// Whether the running green thread is a job of this pool, or feeds one of its iterators.
    pub(crate) fn is_member(&self) -> bool {
        self.members.borrow().contains_key(&current_id())
    }

    pub(crate) fn resize(&self, size: usize) {
        self.permits.resize(size);
        self.notify_if_idle();
    }

    /// Spawns a job at `site`. Parks while the pool is full, unless the caller is a member: its job
    /// starts beyond the limit.
    pub(crate) fn spawn<F, T>(self: &Rc<Self>, site: SpawnSite, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.start(self.acquire(), site, f)
    }

    /// Spawns a job that has its permit already.
    pub(crate) fn start<F, T>(&self, permit: JobPermit, site: SpawnSite, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        if size_of::<F>() > MAX_INLINE_CLOSURE {
            // Each function that passes a closure on may copy it to the stack of the job.
            let f: Box<dyn FnOnce() -> T> = Box::new(f);
            return self.start(permit, site, f);
        }
        let number = permit.number;
        let job = Job { f, permit };
        let handle = spawn_at(site, move || job.run());
        self.register(number, &handle);
        handle
    }

    /// Spawns a job like [`spawn`](Self::spawn), as a child of `scope`.
    pub(crate) fn spawn_scoped<'scope, F>(
        self: &Rc<Self>,
        scope: &'scope Scope<'scope, '_>,
        site: SpawnSite,
        f: F,
    ) -> JoinHandle<()>
    where
        F: FnOnce() + 'scope,
    {
        let permit = self.acquire();
        let number = permit.number;
        let job = Job { f, permit };
        let handle = spawn_scoped_at(scope, site, move || job.run());
        self.register(number, &handle);
        handle
    }

    fn register<T: 'static>(&self, number: u64, job: &JoinHandle<T>) {
        self.jobs.borrow_mut().insert(number, job.kill_handle());
    }

    /// Takes a permit if one is available.
    pub(crate) fn try_acquire(self: &Rc<Self>) -> Option<JobPermit> {
        self.permits.try_acquire().then(|| JobPermit::new(self))
    }

    /// Takes a permit, in FIFO order. Parks until there is one. A member takes one at once, beyond
    /// the limit if necessary, because it would otherwise wait for itself.
    fn acquire(self: &Rc<Self>) -> JobPermit {
        self.permits.charge();
        if let Some(permit) = self.try_acquire() {
            return permit;
        }
        if self.is_member() {
            charge();
            self.permits.acquire_beyond_limit();
            return JobPermit::new(self);
        }
        // A waiter that gives up may be the last thing that `wait_idle` waits for.
        let notify_idle = NotifyIdleOnUnwind(self);
        self.permits
            .acquire(WaitReason::PoolSlot, || self.release());
        mem::forget(notify_idle);
        JobPermit::new(self)
    }

    fn release(&self) {
        self.permits.release();
        self.notify_if_idle();
    }

    /// Parks until no job runs and no green thread waits to spawn one.
    pub(crate) fn wait_idle(&self) {
        if self.is_idle() {
            charge();
        }
        while !self.is_idle() {
            self.idle.wait(WaitReason::PoolIdle);
        }
    }

    /// A pool of size zero never serves the waiters for a permit, so they do not count.
    fn is_idle(&self) -> bool {
        self.running() == 0 && (self.waiting() == 0 || self.size() == 0)
    }

    fn notify_if_idle(&self) {
        if self.is_idle() {
            self.idle.wake_all();
        }
    }

    /// Kills all jobs in the order they were spawned, but the running one last.
    pub(crate) fn kill_all(&self) {
        let mut all = self.jobs.borrow().clone();
        // A job that kills itself unwinds at once, and would leave the others alive.
        let own = self.members.borrow().get(&current_id()).copied().flatten();
        let own = own.and_then(|number| all.remove(&number));
        for job in all.into_values().chain(own) {
            job.kill();
        }
    }

    /// Makes the running green thread a member for as long as the guard lives. `job` is the number
    /// of the job that it runs.
    pub(crate) fn enter(self: &Rc<Self>, job: Option<u64>) -> MemberGuard {
        let id = current_id();
        self.members.borrow_mut().insert(id, job);
        MemberGuard {
            state: Rc::clone(self),
            id,
        }
    }
}

/// Checks whether the pool is idle when a waiter for a permit unwinds.
struct NotifyIdleOnUnwind<'a>(&'a PoolState);

impl Drop for NotifyIdleOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.notify_if_idle();
    }
}

/// A job: the closure and its permit. The green thread of the job runs it.
///
/// If the job is killed before it starts, the fields are dropped in this order: the slot is
/// occupied until the closure and its captures are gone.
struct Job<F> {
    f: F,
    permit: JobPermit,
}

impl<F: FnOnce() -> T, T> Job<F> {
    fn run(self) -> T {
        let Self { f, permit } = self;
        let _member = permit.state.enter(Some(permit.number));
        f()
    }
}

/// The right to run one job. It is released when dropped, however the job ends.
#[derive(Debug)]
pub(crate) struct JobPermit {
    state: Rc<PoolState>,
    /// The number of the job.
    number: u64,
}

impl JobPermit {
    fn new(state: &Rc<PoolState>) -> Self {
        let number = state.last_job.get() + 1;
        state.last_job.set(number);
        Self {
            state: Rc::clone(state),
            number,
        }
    }
}

impl Drop for JobPermit {
    fn drop(&mut self) {
        self.state.jobs.borrow_mut().remove(&self.number);
        self.state.release();
    }
}

/// Membership of the running green thread; see [`PoolState::enter`].
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
