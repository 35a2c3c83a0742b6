//! `imap`: maps a function over inputs, with bounded concurrency and memory.
//!
//! A separate green thread, the *feeder*, pulls the inputs and spawns the jobs. While as many
//! results are unread as the pool has slots, it waits, holding one input that it has pulled
//! already.
//!
//! However the feeder ends, the reader learns it from the feeder's handle. So the iterator never
//! ends early without a panic.

use std::cell::{Cell, RefCell};
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
    jobs: RefCell<VecDeque<Rc<JoinHandle<T>>>>,
    /// The unread jobs that have ended, in the order of their ends. Only used for
    /// `Order::Completion`.
    ended: RefCell<VecDeque<Rc<JoinHandle<T>>>>,
    /// No more jobs are spawned: the feeder has ended, or the iterator was dropped.
    closed: Cell<bool>,
    /// The reader waits here for a job, or for the end.
    progress: WaitQueue,
    /// The feeder waits here for results to be read.
    space: WaitQueue,
}

impl<T: 'static> Imap<T> {
    #[track_caller]
    pub(crate) fn start<F, I>(
        pool: &Rc<PoolState>,
        site: SpawnSite,
        order: Order,
        f: F,
        inputs: I,
    ) -> Self
    where
        F: Fn(I::Item) -> T + 'static,
        I: Iterator + 'static,
        I::Item: 'static,
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
        let (feeding, pool) = (Rc::clone(&shared), Rc::clone(pool));
        // The feeder of a member must not wait for that member's slot, so it becomes a member too.
        let inherits_membership = pool.is_member();
        let feeder = spawn_at(site, move || {
            let _member = inherits_membership.then(|| pool.enter(None));
            feed(&feeding, &pool, site, &Rc::new(f), inputs);
        });
        let ended = Rc::clone(&shared);
        feeder.on_exit(move || {
            ended.closed.set(true);
            ended.progress.wake_all();
        });
        Self {
            shared,
            feeder: Some(feeder),
        }
    }
}

fn feed<F, I, T>(
    shared: &Rc<Shared<T>>,
    pool: &Rc<PoolState>,
    site: SpawnSite,
    f: &Rc<F>,
    inputs: I,
) where
    F: Fn(I::Item) -> T + 'static,
    I: Iterator,
    I::Item: 'static,
    T: 'static,
{
    for input in inputs {
        while shared.jobs.borrow().len() >= pool.size().max(1) && !shared.closed.get() {
            shared.space.wait(WaitReason::Other("results to be read"));
        }
        if shared.closed.get() {
            // The input iterator has deferred or caught the kill that ends this feeder.
            return;
        }
        let f = Rc::clone(f);
        let job = Rc::new(pool.spawn(site, move || f(input)));
        shared.jobs.borrow_mut().push_back(Rc::clone(&job));
        if shared.order == Order::Completion {
            let (ended, own) = (Rc::downgrade(shared), Rc::downgrade(&job));
            job.on_exit(move || {
                if let (Some(shared), Some(job)) = (ended.upgrade(), own.upgrade()) {
                    shared.ended.borrow_mut().push_back(job);
                    shared.progress.wake_all();
                }
            });
        }
        shared.progress.wake_all();
    }
}

impl<T> Shared<T> {
    /// Returns the finished job that is to be read next, or `None` after the last.
    fn next_job(&self) -> Option<Rc<JoinHandle<T>>> {
        loop {
            let job = match self.order {
                Order::Inputs => self.jobs.borrow().front().cloned(),
                Order::Completion => self.ended.borrow_mut().pop_front(),
            };
            if let Some(job) = job {
                // The job stays where it is during the wait, so that nothing is lost if the reader
                // is killed or times out.
                if !job.is_finished() {
                    job.wait();
                }
                return Some(job);
            }
            if self.jobs.borrow().is_empty() && self.closed.get() {
                return None;
            }
            self.progress.wait(WaitReason::Result);
        }
    }

    /// Removes a job that has been read. In the order of inputs it is the first.
    fn forget(&self, job: &Rc<JoinHandle<T>>) {
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
        Some(unwrap_job(&job))
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
            job.cancel();
        }
    }
}

impl<T> fmt::Debug for Imap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap")
            .field("unread", &self.shared.jobs.borrow().len())
            .finish_non_exhaustive()
    }
}
