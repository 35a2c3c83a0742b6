//! `GreenPool`: so many green threads at a time, and no more.

use std::fmt;
use std::rc::Rc;

use evy_runtime::lowlevel::run_inline;
use evy_runtime::thread::JoinHandle;

use crate::imap::{Imap, Order};
use crate::pool_state::{PoolState, Slot};
use crate::splat::Splat;

/// How many green threads a pool runs at once unless said otherwise.
const DEFAULT_SIZE: usize = 1000;

/// A pool of green threads: spawning parks while it is full.
///
/// A place is taken from the moment a job is spawned until it has ended, whether it returns, panics
/// or is killed. A member of a full pool that spawns into it runs the job itself, at once: it would
/// otherwise wait for itself. A clone is another handle to the same pool.
///
/// # Examples
///
/// ```
/// use evy_pool::GreenPool;
///
/// let pool = GreenPool::new(2);
/// let lengths: Vec<usize> = pool.imap(|word: &str| word.len(), ["a", "bc", "def"]).collect();
/// assert_eq!(lengths, [1, 2, 3]);
/// ```
#[derive(Clone, Debug)]
pub struct GreenPool {
    pub(crate) state: Rc<PoolState>,
}

impl GreenPool {
    /// A pool of `size` places. Never parks. One of size zero runs nothing until it is resized.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            state: Rc::new(PoolState::new(size)),
        }
    }

    /// Spawns a job when there is a place, and returns the handle to its result. Parks while the
    /// pool is full; who has waited longest comes first.
    ///
    /// # Panics
    ///
    /// If there is no memory for a stack.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        if self.state.is_full() && self.state.is_member() {
            return run_inline(f);
        }
        self.start(self.state.take(), f)
    }

    /// As [`spawn`](Self::spawn), for a job whose result nobody wants. A panic is reported by the
    /// panic hook, and costs nobody else anything.
    ///
    /// # Panics
    ///
    /// If there is no memory for a stack.
    #[track_caller]
    pub fn spawn_n<F: FnOnce() + 'static>(&self, f: F) {
        drop(self.spawn(f));
    }

    /// As [`spawn`](Self::spawn) if there is a place right now. Never parks.
    ///
    /// # Errors
    ///
    /// [`Full`], with the job.
    ///
    /// # Panics
    ///
    /// If there is no memory for a stack.
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<JoinHandle<T>, Full<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        match self.state.try_take() {
            Some(slot) => Ok(self.start(slot, f)),
            None => Err(Full(f)),
        }
    }

    #[track_caller]
    fn start<F, T>(&self, slot: Slot, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let job = slot.job();
        let handle = evy_runtime::spawn(move || slot.run(f));
        self.state.register(job, handle.kill_handle());
        handle
    }

    /// Runs `f` on each input, as many at once as there are places, and yields the results in the
    /// order of the inputs. Never parks: the iterator does.
    ///
    /// Inputs are pulled by a green thread of its own, one ahead of as many unread results as the
    /// pool has places: memory is bounded however long the input. Several inputs are zipped with
    /// [`Iterator::zip`]. Dropping the iterator ends the pulling and cancels jobs that have not
    /// started.
    ///
    /// A job's panic is resumed by `next` at its place in the order; the iteration goes on
    /// afterwards. So does a panic of the input iterator, which is the last thing it gives.
    ///
    /// # Panics
    ///
    /// If the pool has no places at all.
    pub fn imap<F, I, T>(&self, f: F, inputs: I) -> Imap<T>
    where
        F: Fn(I::Item) -> T + 'static,
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
        T: 'static,
    {
        Imap::start(self, Order::OfInputs, f, inputs.into_iter())
    }

    /// As [`imap`](Self::imap), with the results in the order in which the jobs end.
    ///
    /// # Panics
    ///
    /// If the pool has no places at all.
    pub fn imap_unordered<F, I, T>(&self, f: F, inputs: I) -> Imap<T>
    where
        F: Fn(I::Item) -> T + 'static,
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
        T: 'static,
    {
        Imap::start(self, Order::OfEnds, f, inputs.into_iter())
    }

    /// As [`imap`](Self::imap), for a function of several arguments, which the inputs are tuples of.
    ///
    /// # Panics
    ///
    /// If the pool has no places at all.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(2);
    /// let sums: Vec<i32> = pool.starmap(|a: i32, b: i32| a + b, [(1, 2), (3, 4)]).collect();
    /// assert_eq!(sums, [3, 7]);
    /// ```
    pub fn starmap<F, I>(&self, f: F, inputs: I) -> Imap<F::Output>
    where
        F: Splat<I::Item> + 'static,
        F::Output: 'static,
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
    {
        self.imap(move |args| f.call(args), inputs)
    }

    /// Parks until no job runs and nobody waits to spawn one.
    ///
    /// # Panics
    ///
    /// If a member of the pool calls it: it would wait for itself.
    pub fn wait_all(&self) {
        assert!(
            !self.state.is_member(),
            "a member of a pool cannot wait for all of its members"
        );
        self.state.wait_idle();
    }

    /// Changes the number of places. Never parks. With more, waiting spawners go on at once; with
    /// fewer, nobody is cut short, and [`free`](Self::free) is negative until enough have ended.
    pub fn resize(&self, size: usize) {
        self.state.resize(size);
    }

    /// How many jobs may run at once. Never parks.
    #[must_use]
    pub fn size(&self) -> usize {
        self.state.size()
    }

    /// How many places are taken. Never parks.
    #[must_use]
    pub fn running(&self) -> usize {
        self.state.in_use()
    }

    /// How many places are free; negative after a [`resize`](Self::resize) to less than run. Never
    /// parks.
    #[must_use]
    pub fn free(&self) -> isize {
        self.size().cast_signed() - self.running().cast_signed()
    }

    /// How many green threads are parked until there is a place. Never parks.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.waiting()
    }

    /// Kills all jobs, in the order they were spawned; see
    /// [`JoinHandle::kill`](evy_runtime::thread::JoinHandle::kill).
    pub fn kill_all(&self) {
        self.state.kill_all();
    }
}

impl Default for GreenPool {
    /// A pool of 1000 places.
    fn default() -> Self {
        Self::new(DEFAULT_SIZE)
    }
}

/// The pool had no place; here is the job.
pub struct Full<F>(pub F);

impl<F> fmt::Debug for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full")
    }
}

impl<F> fmt::Display for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pool is full")
    }
}

impl<F> std::error::Error for Full<F> {}
