//! `imap`: maps a function over inputs, with bounded concurrency and memory.
//!
//! A separate green thread, the [`Feeder`], pulls the inputs and spawns the jobs. While as many
//! results are unread as the pool has slots, it waits, holding one input that it has pulled
//! already.
//!
//! However the feeder ends, the reader learns it from the feeder's handle. So the iterator never
//! ends early without a panic.

use std::fmt;
use std::rc::Rc;

use evy_runtime::lowlevel::{charge, resume_unwind};
use evy_runtime::thread::JoinHandle;

use crate::feeder::{Feeder, Spawner};
use crate::imap_state::{ImapState, Order};
use crate::job::unwrap_job;
use crate::pool_state::{PoolState, SpawnSite};

/// Iterator returned by [`GreenPool::imap`](crate::GreenPool::imap) and related methods.
///
/// [`next`](Iterator::next) parks until there is a result. It panics on the root green thread if a
/// deadlock is detected.
#[must_use = "dropping the iterator stops the mapping at once: consume it, for example with \
              `for_each(drop)`, or spawn the jobs with `spawn_n`"]
pub struct Imap<T> {
    state: Rc<ImapState<T>>,
    /// `None` once the end of the feeder has been reported.
    feeder: Option<JoinHandle<()>>,
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
        let state = Rc::new(ImapState::new(order));
        let feeder = Feeder::new(pool, site, f, inputs, &state);
        let feeder = spawner.spawn_feeder(site, move || feeder.run(spawner));
        Self {
            state,
            feeder: Some(feeder),
        }
    }

    /// Returns the number of jobs that are running or have an unread result.
    pub(crate) fn unread(&self) -> usize {
        self.state.jobs.borrow().len()
    }
}

impl<T> Iterator for Imap<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        charge();
        let Some(job) = self.state.next_job() else {
            return end_of_feeder(self.feeder.take()?);
        };
        self.state.forget(&job);
        self.state.space.wake_one();
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
        self.state.closed.set(true);
        if let Some(feeder) = self.feeder.take() {
            feeder.kill();
        }
        let jobs = self.state.jobs.take();
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
