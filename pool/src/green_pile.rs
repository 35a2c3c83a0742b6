//! `GreenPile`: runs jobs and yields their results in spawn order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use evy_runtime::lowlevel::charge;
use evy_runtime::thread::JoinHandle;

use crate::green_pool::GreenPool;
use crate::job::unwrap_job;

/// Runs jobs in a pool and yields their results in spawn order.
///
/// [`next`](Iterator::next) parks until the oldest job has ended. It returns `None` when the pile
/// is empty, which includes a pile before its first spawn. A pile can be filled again afterwards.
///
/// A clone is another handle to the same pile.
///
/// # Panics
///
/// `next` resumes the panic of a job when its turn comes in the order, and panics if that job was
/// killed. The iteration can continue afterwards. On the root green thread, `next` panics if a
/// deadlock is detected.
///
/// # Examples
///
/// ```
/// let pool = evy::GreenPool::default();
/// let pile = evy::GreenPile::with_pool(&pool);
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
    /// Creates a pile with a pool of its own, of `size` slots.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self::with_pool(&GreenPool::new(size))
    }

    /// Creates a pile that runs its jobs in `pool`, which limits them together with all other jobs
    /// in it.
    #[must_use]
    pub fn with_pool(pool: &GreenPool) -> Self {
        Self {
            pool: pool.clone(),
            jobs: Rc::default(),
        }
    }

    /// Spawns a job. [`next`](Iterator::next) will yield its result.
    ///
    /// Parks while the pool is full, unless the caller is a member of the pool.
    ///
    /// # Panics
    ///
    /// Panics if no stack can be allocated.
    /// Panics on the root green thread if a deadlock is detected.
    #[track_caller]
    pub fn spawn<F: FnOnce() -> T + 'static>(&self, f: F) {
        let job = self.pool.spawn(f);
        self.jobs.borrow_mut().push_back(Rc::new(job));
    }
}

impl<T: 'static> Iterator for GreenPile<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        charge();
        loop {
            let oldest = Rc::clone(self.jobs.borrow().front()?);
            // The job stays on the pile during the wait, so that nothing is lost if the caller is
            // killed or times out.
            oldest.wait();
            let mut jobs = self.jobs.borrow_mut();
            if jobs.front().is_some_and(|front| Rc::ptr_eq(front, &oldest)) {
                jobs.pop_front();
                drop(jobs);
                return Some(unwrap_job(&oldest));
            }
            // Another handle to the pile has taken it meanwhile.
        }
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
