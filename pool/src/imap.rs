//! `imap`: maps a function over inputs, with bounded concurrency and memory.
//!
//! A separate green thread, the *feeder*, pulls the inputs and spawns the jobs. While as many
//! results are unread as the pool has slots, it waits, holding one input that it has pulled
//! already.
//!
//! However the feeder ends, the reader learns it from the feeder's handle. So the iterator never
//! ends early without a panic.
//!
//! Feeder and jobs notify the reader by destructors in their closures, because the closure of a
//! scoped green thread may borrow, and an exit hook may not. When the reader is notified, the green
//! thread has not quite finished, so the reader waits for that too.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use evy_runtime::lowlevel::{WaitQueue, WaitReason, charge, resume_unwind, spawn_at};
use evy_runtime::thread::JoinHandle;

use crate::job::unwrap_job;
use crate::pool_state::{PoolState, SpawnSite};

/// The order in which results are yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Inputs,
    Completion,
}

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

/// Iterator returned by [`GreenPool::imap`](crate::GreenPool::imap) and related methods.
///
/// [`next`](Iterator::next) parks until there is a result. It panics on the root green thread if a
/// deadlock is detected.
#[must_use = "dropping the iterator stops the mapping at once: consume it, for example with \
              `for_each(drop)`, or spawn the jobs with `spawn_n`"]
pub struct Imap<T> {
    shared: Rc<Shared<T>>,
    /// `None` once the end of the feeder has been reported.
    feeder: Option<JoinHandle<()>>,
}

struct Shared<T> {
    order: Order,
    /// The unread jobs, in the order of the inputs.
    jobs: RefCell<VecDeque<Rc<MapJob<T>>>>,
    /// The unread jobs that have ended, in the order of their ends. Only used for
    /// `Order::Completion`.
    ended: RefCell<VecDeque<Rc<MapJob<T>>>>,
    /// No more jobs are spawned: the feeder has ended, or the iterator was dropped.
    closed: Cell<bool>,
    /// The reader waits here for a job, or for the end.
    progress: WaitQueue,
    /// The feeder waits here for results to be read.
    space: WaitQueue,
}

/// A job and its result.
struct MapJob<T> {
    /// Set as soon as the job was spawned, before it can run.
    handle: OnceCell<JoinHandle<()>>,
    result: Cell<Option<T>>,
}

impl<T> Imap<T> {
    #[track_caller]
    pub(crate) fn start<'a, F, I, S>(
        pool: &Rc<PoolState>,
        spawner: S,
        site: SpawnSite,
        order: Order,
        f: F,
        inputs: I,
    ) -> Self
    where
        F: Fn(I::Item) -> T + 'a,
        I: Iterator + 'a,
        I::Item: 'a,
        S: Spawner<'a>,
        T: 'a,
    {
        assert!(
            pool.size() > 0,
            "a pool without slots would never yield a result"
        );
        let shared = Rc::new(Shared {
            order,
            jobs: RefCell::default(),
            ended: RefCell::default(),
            closed: Cell::new(false),
            progress: WaitQueue::new(),
            space: WaitQueue::new(),
        });
        let feeder = Feeder {
            f: Rc::new(f),
            inputs,
            // The feeder of a member must not wait for that member's slot, so it becomes a member
            // too.
            inherits_membership: pool.is_member(),
            pool: Rc::clone(pool),
            site,
            end: FeederEnd(Rc::clone(&shared)),
        };
        let feeder = spawner.spawn_feeder(site, move || feeder.run(spawner));
        Self {
            shared,
            feeder: Some(feeder),
        }
    }

    /// Returns the number of jobs that are running or have an unread result.
    pub(crate) fn unread(&self) -> usize {
        self.shared.jobs.borrow().len()
    }
}

/// What the feeder runs. If it does not run, the fields are dropped in this order.
struct Feeder<F, I, T> {
    f: Rc<F>,
    inputs: I,
    inherits_membership: bool,
    pool: Rc<PoolState>,
    site: SpawnSite,
    end: FeederEnd<T>,
}

impl<F, I: Iterator, T> Feeder<F, I, T> {
    fn run<'a, S: Spawner<'a>>(self, spawner: S)
    where
        F: Fn(I::Item) -> T + 'a,
        I::Item: 'a,
        T: 'a,
    {
        // Dropped last.
        let end = self.end;
        let (shared, pool) = (&end.0, self.pool);
        let _member = self.inherits_membership.then(|| pool.enter(None));
        let f = self.f;
        for input in self.inputs {
            while shared.jobs.borrow().len() >= pool.size().max(1) && !shared.closed.get() {
                shared.space.wait(WaitReason::Other("results to be read"));
            }
            if shared.closed.get() {
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
                    shared: Rc::clone(shared),
                },
            };
            let handle = spawner.spawn_job(&pool, self.site, move || call.run());
            job.handle.get_or_init(|| handle);
            shared.jobs.borrow_mut().push_back(job);
            shared.progress.wake_all();
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
struct FeederEnd<T>(Rc<Shared<T>>);

impl<T> Drop for FeederEnd<T> {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.progress.wake_all();
    }
}

/// Notifies the reader of the end of a job.
struct JobEnd<T> {
    job: Rc<MapJob<T>>,
    shared: Rc<Shared<T>>,
}

impl<T> Drop for JobEnd<T> {
    fn drop(&mut self) {
        let was_spawned = self.job.handle.get().is_some();
        if was_spawned && self.shared.order == Order::Completion {
            let job = Rc::clone(&self.job);
            self.shared.ended.borrow_mut().push_back(job);
            self.shared.progress.wake_all();
        }
    }
}

impl<T> MapJob<T> {
    fn handle(&self) -> &JoinHandle<()> {
        self.handle.get().expect("a job in a list was spawned")
    }
}

impl<T> Shared<T> {
    /// Returns the finished job that is to be read next, or `None` after the last.
    fn next_job(&self) -> Option<Rc<MapJob<T>>> {
        loop {
            let jobs = match self.order {
                Order::Inputs => &self.jobs,
                Order::Completion => &self.ended,
            };
            let job = jobs.borrow().front().cloned();
            if let Some(job) = job {
                // The job stays where it is during the wait, so that nothing is lost if the reader
                // is killed or times out.
                if !job.handle().is_finished() {
                    job.handle().wait();
                }
                return Some(job);
            }
            if self.jobs.borrow().is_empty() && self.closed.get() {
                return None;
            }
            self.progress.wait(WaitReason::Result);
        }
    }

    /// Removes a job that has been read. It is the first in its order.
    fn forget(&self, job: &Rc<MapJob<T>>) {
        if self.order == Order::Completion {
            self.ended.borrow_mut().pop_front();
        }
        let mut jobs = self.jobs.borrow_mut();
        let at = jobs.iter().position(|other| Rc::ptr_eq(other, job));
        at.and_then(|at| jobs.remove(at))
            .expect("an unread job is in the list");
    }
}

impl<T> Iterator for Imap<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        charge();
        let shared = &*self.shared;
        let Some(job) = shared.next_job() else {
            return end_of_feeder(self.feeder.take()?);
        };
        shared.forget(&job);
        shared.space.wake_one();
        unwrap_job(job.handle());
        job.result.take()
    }
}

/// Returns `None` after the last result, if the feeder has reached the end of its inputs.
///
/// # Panics
///
/// Resumes the feeder's panic. Panics if the feeder was killed.
fn end_of_feeder<T>(feeder: JoinHandle<()>) -> Option<T> {
    let error = feeder.join().err()?;
    match error.try_into_panic() {
        Ok(payload) => resume_unwind(payload),
        Err(error) => panic!("the inputs of this mapping are not complete: {error}"),
    }
}

impl<T> Drop for Imap<T> {
    fn drop(&mut self) {
        self.shared.closed.set(true);
        if let Some(feeder) = self.feeder.take() {
            feeder.kill();
        }
        let jobs = self.shared.jobs.take();
        for job in jobs {
            job.handle().cancel();
        }
    }
}

impl<T> fmt::Debug for Imap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap")
            .field("unread", &self.unread())
            .finish_non_exhaustive()
    }
}
