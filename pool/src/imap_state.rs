//! `ImapState`: what the reader of an `imap`, its feeder and its jobs share.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use evy_runtime::lowlevel::{WaitQueue, WaitReason};
use evy_runtime::thread::JoinHandle;

/// The order in which results are yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Inputs,
    Completion,
}

pub(crate) struct ImapState<T> {
    pub(crate) order: Order,
    /// The unread jobs, in the order of the inputs.
    pub(crate) jobs: RefCell<VecDeque<Rc<MapJob<T>>>>,
    /// The unread jobs that have ended, in the order of their ends. Only used for
    /// `Order::Completion`.
    pub(crate) ended: RefCell<VecDeque<Rc<MapJob<T>>>>,
    /// No more jobs are spawned: the feeder has ended, or the iterator was dropped.
    pub(crate) closed: Cell<bool>,
    /// The reader waits here for a job, or for the end.
    pub(crate) progress: WaitQueue,
    /// The feeder waits here for results to be read.
    pub(crate) space: WaitQueue,
}

/// A job and its result.
pub(crate) struct MapJob<T> {
    /// Set as soon as the job was spawned, before it can run.
    pub(crate) handle: OnceCell<JoinHandle<()>>,
    pub(crate) result: Cell<Option<T>>,
}

impl<T> MapJob<T> {
    pub(crate) fn handle(&self) -> &JoinHandle<()> {
        self.handle.get().expect("a job in a list was spawned")
    }
}

impl<T> ImapState<T> {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            order,
            jobs: RefCell::default(),
            ended: RefCell::default(),
            closed: Cell::new(false),
            progress: WaitQueue::new(),
            space: WaitQueue::new(),
        }
    }

    /// Returns the finished job that is to be read next, or `None` after the last.
    pub(crate) fn next_job(&self) -> Option<Rc<MapJob<T>>> {
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
    pub(crate) fn forget(&self, job: &Rc<MapJob<T>>) {
        if self.order == Order::Completion {
            self.ended.borrow_mut().pop_front();
        }
        let mut jobs = self.jobs.borrow_mut();
        let at = jobs.iter().position(|other| Rc::ptr_eq(other, job));
        at.and_then(|at| jobs.remove(at))
            .expect("an unread job is in the list");
    }
}
