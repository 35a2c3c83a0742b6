//! `GreenPile`: jobs thrown on a pile, results taken off it in the same order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::resume_unwind;
use std::rc::Rc;

use evy_runtime::thread::{JoinError, JoinHandle};

use crate::green_pool::GreenPool;

/// The results of jobs, in the order in which the jobs were spawned: an iterator to be filled as
/// long as one likes. A clone is another handle to the same pile.
///
/// `next` parks until the oldest job has ended. It returns `None` when the pile is empty, which it
/// is before the first spawn; it can be filled again afterwards.
///
/// # Panics
///
/// `next` resumes the panic of a job at its place in the order, and panics in place of one that was
/// killed; the iteration goes on afterwards.
///
/// # Examples
///
/// ```
/// use evy_pool::{GreenPile, GreenPool};
///
/// let pool = GreenPool::default();
/// let pile = GreenPile::with_pool(&pool);
/// for n in 0..3 {
///     pile.spawn(move || n * n);
/// }
/// assert_eq!(pile.collect::<Vec<_>>(), [0, 1, 4]);
/// ```
pub struct GreenPile<T> {
    pool: GreenPool,
    jobs: Jobs<T>,
}

type Jobs<T> = Rc<RefCell<VecDeque<Rc<JoinHandle<T>>>>>;

impl<T: 'static> GreenPile<T> {
    /// A pile with a pool of `size` places of its own. Never parks.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self::with_pool(&GreenPool::new(size))
    }

    /// A pile whose jobs run in `pool`, which limits them together with everything else in it. Never
    /// parks.
    #[must_use]
    pub fn with_pool(pool: &GreenPool) -> Self {
        Self {
            pool: pool.clone(),
            jobs: Rc::default(),
        }
    }

    /// Spawns a job whose result [`next`](Iterator::next) will yield. Parks while the pool is full.
    ///
    /// # Panics
    ///
    /// If there is no memory for a stack.
    #[track_caller]
    pub fn spawn<F: FnOnce() -> T + 'static>(&self, f: F) {
        let job = self.pool.spawn(f);
        self.jobs.borrow_mut().push_back(Rc::new(job));
    }
}

impl<T: 'static> Iterator for GreenPile<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            let oldest = Rc::clone(self.jobs.borrow().front()?);
            // Left on the pile meanwhile: if the caller is killed or times out, nothing is lost.
            oldest.wait();
            let mut jobs = self.jobs.borrow_mut();
            if jobs.front().is_some_and(|front| Rc::ptr_eq(front, &oldest)) {
                jobs.pop_front();
                drop(jobs);
                return Some(result(&oldest));
            }
            // Another handle to the pile was faster.
        }
    }
}

/// The result of a job that has ended, taken once.
///
/// # Panics
///
/// With the job's panic, or if it was killed.
pub(crate) fn result<T>(job: &JoinHandle<T>) -> T {
    match job.take_result() {
        Ok(value) => value,
        Err(JoinError::Panicked(payload)) => resume_unwind(payload),
        Err(JoinError::Killed) => panic!("the job of this place was killed"),
    }
}

impl<T> Clone for GreenPile<T> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            jobs: Rc::clone(&self.jobs),
        }
    }
}

impl<T> fmt::Debug for GreenPile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreenPile")
            .field("len", &self.jobs.borrow().len())
            .finish_non_exhaustive()
    }
}
