//! `Feeder`: pulls the inputs of an `imap` and spawns its jobs.
//!
//! The feeder and the jobs notify the reader by destructors in their closures, because the closure
//! of a scoped green thread may borrow, and an exit hook may not. When the reader is notified, the
//! green thread has not quite finished, so the reader waits for that too.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use evy_runtime::lowlevel::{WaitReason, spawn_at};
use evy_runtime::thread::JoinHandle;

use crate::imap_state::{ImapState, MapJob, Order};
use crate::pool_state::{PoolState, SpawnSite};

/// Spawns the feeder and the jobs, whose closures live for `'a`.
pub(crate) trait Spawner<'a>: Copy + 'a {
    fn spawn_feeder(self, site: SpawnSite, f: impl FnOnce() + 'a) -> JoinHandle<()>;

    /// Spawns a job of the pool. Parks until there is a free slot.
    fn spawn_job(
        self,
        pool: &Rc<PoolState>,
        site: SpawnSite,
        f: impl FnOnce() + 'a,
    ) -> JoinHandle<()>;
}

/// Spawns green threads that borrow nothing.
#[derive(Clone, Copy)]
pub(crate) struct Unscoped;

impl Spawner<'static> for Unscoped {
    fn spawn_feeder(self, site: SpawnSite, f: impl FnOnce() + 'static) -> JoinHandle<()> {
        spawn_at(site, f)
    }

    fn spawn_job(
        self,
        pool: &Rc<PoolState>,
        site: SpawnSite,
        f: impl FnOnce() + 'static,
    ) -> JoinHandle<()> {
        pool.spawn(site, f)
    }
}

/// What the feeder runs. If it does not run, the fields are dropped in this order.
pub(crate) struct Feeder<F, I, T> {
    f: Rc<F>,
    inputs: I,
    /// The feeder of a member must not wait for that member's slot, so it becomes a member too.
    inherits_membership: bool,
    pool: Rc<PoolState>,
    site: SpawnSite,
    end: FeederEnd<T>,
}

impl<F, I: Iterator, T> Feeder<F, I, T> {
    pub(crate) fn new(
        pool: &Rc<PoolState>,
        site: SpawnSite,
        f: F,
        inputs: I,
        state: &Rc<ImapState<T>>,
    ) -> Self {
        Self {
            f: Rc::new(f),
            inputs,
            inherits_membership: pool.is_member(),
            pool: Rc::clone(pool),
            site,
            end: FeederEnd(Rc::clone(state)),
        }
    }

    pub(crate) fn run<'a, S: Spawner<'a>>(self, spawner: S)
    where
        F: Fn(I::Item) -> T + 'a,
        I::Item: 'a,
        T: 'a,
    {
        // Dropped last.
        let end = self.end;
        let (state, pool) = (&end.0, self.pool);
        let _member = self.inherits_membership.then(|| pool.enter(None));
        let f = self.f;
        for input in self.inputs {
            while state.jobs.borrow().len() >= pool.size().max(1) && !state.closed.get() {
                state.space.wait(WaitReason::Other("results to be read"));
            }
            if state.closed.get() {
                // The input iterator has deferred or caught the kill that ends this feeder.
                return;
            }
            let job = Rc::new(MapJob {
                handle: OnceCell::new(),
                result: Cell::new(None),
            });
            let call = Call {
                f: Rc::clone(&f),
                input,
                end: JobEnd {
                    job: Rc::clone(&job),
                    state: Rc::clone(state),
                },
            };
            let handle = spawner.spawn_job(&pool, self.site, move || call.run());
            job.handle.get_or_init(|| handle);
            state.jobs.borrow_mut().push_back(job);
            state.progress.wake_all();
        }
    }
}

/// What a job runs. If it does not run, the fields are dropped in this order.
struct Call<F, A, T> {
    f: Rc<F>,
    input: A,
    end: JobEnd<T>,
}

impl<F: Fn(A) -> T, A, T> Call<F, A, T> {
    fn run(self) {
        // Variables are dropped in reverse order, and `end` last.
        let Self { end, f, input } = self;
        end.job.result.set(Some(f(input)));
    }
}

/// Notifies the reader of the end of the feeder.
struct FeederEnd<T>(Rc<ImapState<T>>);

impl<T> Drop for FeederEnd<T> {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.progress.wake_all();
    }
}

/// Notifies the reader of the end of a job.
struct JobEnd<T> {
    job: Rc<MapJob<T>>,
    state: Rc<ImapState<T>>,
}

impl<T> Drop for JobEnd<T> {
    fn drop(&mut self) {
        let was_spawned = self.job.handle.get().is_some();
        if was_spawned && self.state.order == Order::Completion {
            let job = Rc::clone(&self.job);
            self.state.ended.borrow_mut().push_back(job);
            self.state.progress.wake_all();
        }
    }
}
