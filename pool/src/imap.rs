//! `imap`: the results of one function on many inputs, with bounded concurrency and memory.
//!
//! A green thread of its own, the *feeder*, pulls the inputs and spawns the jobs. It waits while as
//! many results are unread as the pool has places, one pulled input in hand.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use evy_runtime::lowlevel::{WaitQueue, WaitReason};
use evy_runtime::thread::{JoinHandle, KillHandle, is_kill};

use crate::green_pile::result;
use crate::green_pool::GreenPool;

/// In which order results are yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    OfInputs,
    OfEnds,
}

/// The results of [`GreenPool::imap`] and its relatives. `next` parks until there is one.
pub struct Imap<T> {
    shared: Rc<Shared<T>>,
    feeder: KillHandle,
}

struct Shared<T> {
    order: Order,
    /// Spawned and not read, in the order of the inputs.
    jobs: RefCell<VecDeque<Rc<JoinHandle<T>>>>,
    /// Those of them that have ended, first ended first; kept for `Order::OfEnds` alone.
    ended: RefCell<VecDeque<Rc<JoinHandle<T>>>>,
    /// What the input iterator has panicked with.
    failure: Cell<Option<Box<dyn Any + Send>>>,
    fed: Cell<bool>,
    /// The reader waits for a job, or for the end.
    progress: WaitQueue,
    /// The feeder waits for results to be read.
    space: WaitQueue,
}

impl<T: 'static> Imap<T> {
    pub(crate) fn start<F, I>(pool: &GreenPool, order: Order, f: F, inputs: I) -> Self
    where
        F: Fn(I::Item) -> T + 'static,
        I: Iterator + 'static,
        I::Item: 'static,
    {
        assert!(
            pool.size() > 0,
            "a pool without places would never yield a result"
        );
        let shared = Rc::new(Shared {
            order,
            jobs: RefCell::default(),
            ended: RefCell::default(),
            failure: Cell::new(None),
            fed: Cell::new(false),
            progress: WaitQueue::new(),
            space: WaitQueue::new(),
        });
        let (feeding, pool) = (Rc::clone(&shared), pool.clone());
        // What a member of the pool maps may not wait for that member: it feeds as one.
        let inherits_membership = pool.state.is_member();
        let feeder = evy_runtime::spawn(move || {
            let _member = inherits_membership.then(|| pool.state.enter());
            let _end = FeederDone(&feeding);
            feed(&feeding, &pool, &Rc::new(f), inputs);
        });
        Self {
            shared,
            feeder: feeder.kill_handle(),
        }
    }
}

/// Tells the reader, however the feeder ends.
struct FeederDone<'a, T>(&'a Shared<T>);

impl<T> Drop for FeederDone<'_, T> {
    fn drop(&mut self) {
        self.0.fed.set(true);
        self.0.progress.wake_all();
    }
}

fn feed<F, I, T>(shared: &Rc<Shared<T>>, pool: &GreenPool, f: &Rc<F>, mut inputs: I)
where
    F: Fn(I::Item) -> T + 'static,
    I: Iterator,
    I::Item: 'static,
    T: 'static,
{
    loop {
        let input = match catch_unwind(AssertUnwindSafe(|| inputs.next())) {
            Ok(Some(input)) => input,
            Ok(None) => return,
            Err(payload) if is_kill(&*payload) => resume_unwind(payload),
            Err(payload) => return shared.failure.set(Some(payload)),
        };
        while shared.jobs.borrow().len() >= pool.size().max(1) {
            shared.space.wait(WaitReason::Other("results to be read"));
        }
        let f = Rc::clone(f);
        let job = Rc::new(pool.spawn(move || f(input)));
        shared.jobs.borrow_mut().push_back(Rc::clone(&job));
        if shared.order == Order::OfEnds {
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
    /// A job that has ended and is to be read now; `None` after the last.
    fn next_job(&self) -> Option<Rc<JoinHandle<T>>> {
        loop {
            let job = match self.order {
                Order::OfInputs => self.jobs.borrow().front().cloned(),
                Order::OfEnds => self.ended.borrow_mut().pop_front(),
            };
            if let Some(job) = job {
                // Left where it is meanwhile: if the reader is killed or times out, nothing is lost.
                job.wait();
                return Some(job);
            }
            if self.jobs.borrow().is_empty() && self.fed.get() {
                return None;
            }
            self.progress.wait(WaitReason::Result);
        }
    }

    /// The job is read. In the order of inputs it is the first.
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
        let shared = &*self.shared;
        let Some(job) = shared.next_job() else {
            return shared.failure.take().map(|payload| resume_unwind(payload));
        };
        shared.forget(&job);
        shared.space.wake_one();
        Some(result(&job))
    }
}

impl<T> Drop for Imap<T> {
    fn drop(&mut self) {
        self.feeder.kill();
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
