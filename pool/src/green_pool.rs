//! `GreenPool`: runs green threads, at most a certain number at a time.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;

use evy_runtime::lowlevel::{StaysOnItsOsThread, charge_failure};
use evy_runtime::thread::{JoinHandle, Scope};

use crate::feeder::Unscoped;
use crate::imap::Imap;
use crate::imap_state::Order;
use crate::pool_state::PoolState;
use crate::scoped_imap::ScopedImap;
use crate::splat::Splat;

const DEFAULT_SIZE: usize = 1000;

/// A pool of green threads: spawning parks while the pool is full.
///
/// A job occupies a slot from its spawn until it has ended, whether it returns, panics or is
/// killed. A slot that becomes free goes to the green thread that has waited longest.
///
/// A job of the pool, a *member*, never waits for a slot of its own pool, because it could wait for
/// itself. If it spawns into the full pool, its job starts beyond the limit. Then
/// [`running`](Self::running) exceeds [`size`](Self::size), and other spawners wait until enough
/// jobs have ended. So the number of jobs is not bounded for a member that spawns in a loop, which
/// should use [`try_spawn`](Self::try_spawn).
///
/// A clone is another handle to the same pool. Only the methods that say so park.
///
/// # Examples
///
/// ```
/// let pool = evy::GreenPool::new(2);
/// let lengths: Vec<usize> = pool.imap(|word: &str| word.len(), ["a", "bc", "def"]).collect();
/// assert_eq!(lengths, [1, 2, 3]);
/// ```
#[derive(Clone, Debug)]
pub struct GreenPool {
    owner: PhantomData<*const StaysOnItsOsThread>,
    pub(crate) state: Rc<PoolState>,
}

impl GreenPool {
    /// Creates a pool of `size` slots. A pool of size zero runs nothing until it is resized.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            owner: PhantomData,
            state: PoolState::new(size),
        }
    }

    /// Spawns a job once there is a free slot, and returns a handle to its result.
    ///
    /// A member of the pool spawns its job at once, beyond the limit if the pool is full.
    ///
    /// Parks while the pool is full, unless the caller is a member. Waiters are served in FIFO
    /// order.
    ///
    /// # Panics
    ///
    /// Panics if no stack can be allocated.
    /// Panics on the root green thread if a deadlock is detected.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.state.spawn(Location::caller(), f)
    }

    /// Spawns a job like [`spawn`](Self::spawn), without a handle; its result is discarded.
    ///
    /// A panic of the job is reported by the panic hook and has no other effect.
    ///
    /// Parks while the pool is full, unless the caller is a member.
    ///
    /// # Panics
    ///
    /// Panics if no stack can be allocated.
    /// Panics on the root green thread if a deadlock is detected.
    #[doc(alias = "spawn_detached")]
    #[track_caller]
    pub fn spawn_n<F: FnOnce() + 'static>(&self, f: F) {
        drop(self.spawn(f));
    }

    /// Spawns a job if there is a free slot, without parking. A member of the pool, too, gets no
    /// slot beyond the limit.
    ///
    /// # Errors
    ///
    /// Returns [`Full`], which contains the job, if the pool is full.
    ///
    /// # Panics
    ///
    /// Panics if no stack can be allocated.
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<JoinHandle<T>, Full<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        match self.state.try_acquire() {
            Some(permit) => Ok(self.state.start(permit, Location::caller(), f)),
            None => {
                charge_failure();
                Err(Full(f))
            }
        }
    }

    /// Runs `f` on each input, up to [`size`](Self::size) at a time, and returns an iterator over
    /// the results in the order of the inputs.
    ///
    /// A separate green thread, the *feeder*, pulls the inputs. It stays at most one input ahead of
    /// as many unread results as the pool has slots, so memory is bounded however long the input
    /// is. To map over several inputs, combine them with [`Iterator::zip`]. Dropping the iterator
    /// stops the feeder and cancels the jobs that have not started.
    ///
    /// The panic of a job is resumed by `next`, when the turn of the job comes in the order, and
    /// the iteration can continue afterwards. If the feeder panics, `next` resumes that panic after
    /// all results, and the iteration ends then. The feeder panics if the input iterator panics, or
    /// if no stack can be allocated for a job.
    ///
    /// A member of the pool may map too. Its jobs start beyond the limit if the pool is full.
    ///
    /// The iterator's `next` parks; `imap` itself does not.
    ///
    /// # Panics
    ///
    /// Panics if the pool has no slots, or if no stack can be allocated for the feeder.
    #[track_caller]
    pub fn imap<F, I, T>(&self, f: F, inputs: I) -> Imap<T>
    where
        F: Fn(I::Item) -> T + 'static,
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
        T: 'static,
    {
        let inputs = inputs.into_iter();
        Imap::start(
            &self.state,
            Unscoped,
            Location::caller(),
            Order::Inputs,
            f,
            inputs,
        )
    }

    /// Maps like [`imap`](Self::imap), returning the results in the order in which the jobs end.
    ///
    /// # Panics
    ///
    /// Panics as `imap` does.
    #[track_caller]
    pub fn imap_unordered<F, I, T>(&self, f: F, inputs: I) -> Imap<T>
    where
        F: Fn(I::Item) -> T + 'static,
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
        T: 'static,
    {
        let inputs = inputs.into_iter();
        let site = Location::caller();
        Imap::start(&self.state, Unscoped, site, Order::Completion, f, inputs)
    }

    /// Maps like [`imap`](Self::imap), with `f`, inputs and results that may borrow from outside of
    /// `scope`.
    ///
    /// The feeder and the jobs are children of `scope`, which waits for them. So the iterator must
    /// be consumed or dropped inside the scope. A panic of the feeder or of a job is resumed by
    /// `next` and does not make the scope panic.
    ///
    /// # Panics
    ///
    /// Panics as `imap` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let words = vec!["a".to_owned(), "bc".to_owned()];
    /// let pool = evy::GreenPool::new(2);
    /// let lengths: Vec<usize> = evy::scope(|s| {
    ///     pool.imap_scoped(s, |word: &String| word.len(), &words).collect()
    /// });
    /// assert_eq!(lengths, [1, 2]);
    /// ```
    #[track_caller]
    pub fn imap_scoped<'scope, F, I, T>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
        inputs: I,
    ) -> ScopedImap<'scope, T>
    where
        F: Fn(I::Item) -> T + 'scope,
        I: IntoIterator,
        I::IntoIter: 'scope,
        I::Item: 'scope,
        T: 'scope,
    {
        let (site, inputs) = (Location::caller(), inputs.into_iter());
        ScopedImap::start(&self.state, scope, site, Order::Inputs, f, inputs)
    }

    /// Maps like [`imap_unordered`](Self::imap_unordered), with `f`, inputs and results that may
    /// borrow from outside of `scope`; see [`imap_scoped`](Self::imap_scoped).
    ///
    /// # Panics
    ///
    /// Panics as `imap` does.
    #[track_caller]
    pub fn imap_unordered_scoped<'scope, F, I, T>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
        inputs: I,
    ) -> ScopedImap<'scope, T>
    where
        F: Fn(I::Item) -> T + 'scope,
        I: IntoIterator,
        I::IntoIter: 'scope,
        I::Item: 'scope,
        T: 'scope,
    {
        let (site, inputs) = (Location::caller(), inputs.into_iter());
        ScopedImap::start(&self.state, scope, site, Order::Completion, f, inputs)
    }

    /// Maps like [`imap`](Self::imap), unpacking each input tuple into the arguments of `f`.
    ///
    /// # Panics
    ///
    /// Panics as `imap` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = evy::GreenPool::new(2);
    /// let sums: Vec<i32> = pool.starmap(|a: i32, b: i32| a + b, [(1, 2), (3, 4)]).collect();
    /// assert_eq!(sums, [3, 7]);
    /// ```
    #[track_caller]
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

    /// Waits until no job runs and no green thread waits to spawn one.
    ///
    /// Parks until then.
    ///
    /// # Panics
    ///
    /// Panics if a member of the pool calls it, because it would wait for itself.
    /// Panics on the root green thread if a deadlock is detected.
    pub fn wait_all(&self) {
        assert!(
            !self.state.is_member(),
            "a member of a pool cannot wait for all of its members"
        );
        self.state.wait_idle();
    }

    /// Changes the number of slots.
    ///
    /// With more slots, waiting spawners continue at once. With fewer, running jobs are not
    /// affected, and [`free`](Self::free) is negative until enough of them have ended.
    pub fn resize(&self, size: usize) {
        self.state.resize(size);
    }

    /// Returns the number of jobs that may run at a time.
    #[must_use]
    pub fn size(&self) -> usize {
        self.state.size()
    }

    /// Returns the number of running jobs, including those beyond the limit.
    #[must_use]
    pub fn running(&self) -> usize {
        self.state.running()
    }

    /// Returns the number of free slots. It is negative while jobs run beyond the limit: after a
    /// [`resize`](Self::resize), or because members have spawned into the full pool.
    #[must_use]
    pub fn free(&self) -> isize {
        self.state.free()
    }

    /// Returns the number of green threads that are parked until there is a free slot.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.waiting()
    }

    /// Kills all jobs in the order they were spawned, like
    /// [`JoinHandle::kill`](evy_runtime::thread::JoinHandle::kill).
    ///
    /// A job that calls this on its own pool is killed last, and unwinds from here.
    pub fn kill_all(&self) {
        self.state.kill_all();
    }
}

impl Default for GreenPool {
    /// Creates a pool of 1000 slots.
    fn default() -> Self {
        Self::new(DEFAULT_SIZE)
    }
}

/// Error returned by [`GreenPool::try_spawn`] if the pool is full; contains the job.
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
