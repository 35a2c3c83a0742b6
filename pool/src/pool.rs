//! `Pool`: reusable resources, created on demand, and each used by one green thread at a time.

use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::lowlevel::{charge_failure, now};

use crate::pool_guard::PoolGuard;
use crate::resource_state::{ResourcePermit, ResourceState};

/// The default maximum number of resources.
const DEFAULT_MAX_SIZE: usize = 4;

type Create<T, E> = dyn Fn() -> Result<T, E>;

/// A pool of reusable resources, such as connections: [`get`](Self::get) parks while all are in
/// use.
///
/// When a resource is requested and none is idle, the pool creates one, up to `max_size` of them.
/// The function that creates them may park and may fail. When `max_size` resources are in use, the
/// next one that is returned goes to the longest waiter.
///
/// A clone is another handle to the same pool. Only the methods that say so park.
///
/// # Examples
///
/// ```
/// use evy::pool::Pool;
/// use std::io::{self, Cursor};
///
/// let pool = Pool::new(4, || io::Result::Ok(Cursor::new(vec![0; 512])));
/// let mut connection = pool.get()?;
/// connection.set_position(7);
/// drop(connection);
/// assert_eq!(pool.get()?.position(), 7);
/// # io::Result::Ok(())
/// ```
pub struct Pool<T, E = Infallible> {
    state: Rc<ResourceState<T>>,
    create: Rc<Create<T, E>>,
}

impl<T> Pool<T> {
    /// Creates an empty pool of at most `max_size` resources, with a `create` that cannot fail.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffers = evy::pool::Pool::infallible(16, Vec::<u8>::new);
    /// let Ok(mut buffer) = buffers.get();
    /// buffer.extend(b"no error to look at");
    /// ```
    #[must_use]
    pub fn infallible(max_size: usize, create: impl Fn() -> T + 'static) -> Self {
        Self::new(max_size, move || Ok(create()))
    }
}

impl<T, E> Pool<T, E> {
    /// Creates an empty pool of at most `max_size` resources, which `create` creates on demand.
    ///
    /// A pool with a `max_size` of 0 provides no resource until it is resized.
    #[must_use]
    pub fn new(max_size: usize, create: impl Fn() -> Result<T, E> + 'static) -> Self {
        Self {
            state: ResourceState::new(max_size, false),
            create: Rc::new(create),
        }
    }

    /// Returns a builder, which offers more settings than [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::pool::Pool;
    ///
    /// let pool = Pool::builder(|| "resource".parse::<String>()).min_size(2).build()?;
    /// assert_eq!((pool.current_size(), pool.max_size()), (2, 4));
    /// # Ok::<(), std::convert::Infallible>(())
    /// ```
    pub fn builder(create: impl Fn() -> Result<T, E> + 'static) -> PoolBuilder<T, E> {
        PoolBuilder {
            create: Rc::new(create),
            min_size: 0,
            max_size: DEFAULT_MAX_SIZE,
            as_stack: false,
        }
    }

    /// Takes an idle resource, or creates one.
    ///
    /// Parks until a resource is available, and where `create` parks. Waiters are served in FIFO
    /// order.
    ///
    /// # Errors
    ///
    /// Returns the error of `create`. The next waiter then tries to create a resource.
    ///
    /// # Panics
    ///
    /// Panics if `create` panics. The next waiter then tries to create a resource.
    /// Panics on the root green thread if a deadlock is detected.
    pub fn get(&self) -> Result<PoolGuard<T>, E> {
        self.checkout(self.state.acquire())
    }

    /// Takes a resource like [`get`](Self::get), waiting for at most `timeout`. Returns `None` if
    /// all were in use for that long.
    ///
    /// `timeout` only limits the wait for a resource in use. To limit `create` as well, use
    /// [`evy::timeout`](evy_runtime::timeout).
    ///
    /// Parks until a resource is available, or for `timeout`, and where `create` parks.
    ///
    /// # Errors
    ///
    /// Returns the error of `create`.
    ///
    /// # Panics
    ///
    /// Panics if `create` panics.
    /// Panics on the root green thread if a deadlock is detected.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = evy::pool::Pool::infallible(1, || "the only one");
    /// let Ok(first) = pool.get();
    /// let Ok(second) = pool.get_timeout(Duration::from_millis(5));
    /// assert!(second.is_none());
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<PoolGuard<T>>, E> {
        // A deadline beyond the range of the clock is no deadline.
        let permit = self.state.acquire_deadline(now().checked_add(timeout));
        permit.map(|permit| self.checkout(permit)).transpose()
    }

    /// Takes a resource like [`get`](Self::get), or returns `None` if all are in use.
    ///
    /// Parks only where `create` parks.
    ///
    /// # Errors
    ///
    /// Returns the error of `create`.
    ///
    /// # Panics
    ///
    /// Panics if `create` panics.
    pub fn try_get(&self) -> Result<Option<PoolGuard<T>>, E> {
        let permit = self.state.try_acquire();
        let checked_out = permit.map(|permit| self.checkout(permit)).transpose();
        if !matches!(checked_out, Ok(Some(_))) {
            charge_failure();
        }
        checked_out
    }

    fn checkout(&self, permit: ResourcePermit<T>) -> Result<PoolGuard<T>, E> {
        let resource = match permit.state().pop_idle() {
            Some(idle) => idle,
            None => permit.state().create(&*self.create)?,
        };
        Ok(PoolGuard::new(resource, permit))
    }

    /// Changes the maximum number of resources.
    ///
    /// With a higher maximum, waiters continue at once. With a lower one, excess idle resources are
    /// dropped now, and excess resources in use are dropped when they are returned.
    ///
    /// Parks only where the destructor of a resource parks.
    pub fn resize(&self, max_size: usize) {
        self.state.resize(max_size);
    }

    /// Returns the maximum number of resources.
    #[must_use]
    pub fn max_size(&self) -> usize {
        self.state.max_size()
    }

    /// Returns the number of resources that are idle, in use or being created.
    #[must_use]
    pub fn current_size(&self) -> usize {
        self.state.size()
    }

    /// Returns how many more resources may be in use at the same time. It is negative after a
    /// [`resize`](Self::resize) to fewer than are in use.
    #[must_use]
    pub fn free(&self) -> isize {
        self.state.free()
    }

    /// Returns the number of green threads that are parked until they get a resource.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.waiting()
    }
}

impl<T, E> Clone for Pool<T, E> {
    fn clone(&self) -> Self {
        Self {
            state: Rc::clone(&self.state),
            create: Rc::clone(&self.create),
        }
    }
}

impl<T, E> fmt::Debug for Pool<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("max_size", &self.max_size())
            .field("current_size", &self.current_size())
            .field("free", &self.free())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// Configures and builds a [`Pool`]; see [`Pool::builder`].
///
/// Only [`build`](Self::build) parks.
#[must_use = "no pool is created until `build` is called"]
pub struct PoolBuilder<T, E = Infallible> {
    create: Rc<Create<T, E>>,
    min_size: usize,
    max_size: usize,
    as_stack: bool,
}

impl<T, E> PoolBuilder<T, E> {
    /// Sets how many resources are created in advance. The default is 0.
    ///
    /// If one of them is discarded, it is not replaced until a resource is requested.
    pub fn min_size(mut self, min_size: usize) -> Self {
        self.min_size = min_size;
        self
    }

    /// Sets the maximum number of resources. The default is 4.
    pub fn max_size(mut self, max_size: usize) -> Self {
        self.max_size = max_size;
        self
    }

    /// Sets whether the most recently returned resource is used next (LIFO).
    ///
    /// While demand is low, only the same few resources are then in use. By default (`false`) the
    /// longest idle resource is used next (FIFO), so all take turns.
    #[doc(alias = "lifo")]
    pub fn order_as_stack(mut self, as_stack: bool) -> Self {
        self.as_stack = as_stack;
        self
    }

    /// Creates the pool, with `min_size` resources in it.
    ///
    /// Parks where `create` parks.
    ///
    /// # Errors
    ///
    /// Returns the error of `create`. The resources that were created before it are dropped.
    ///
    /// # Panics
    ///
    /// Panics if `min_size` is more than `max_size`, or if `create` panics.
    pub fn build(self) -> Result<Pool<T, E>, E> {
        assert!(
            self.min_size <= self.max_size,
            "a pool of at most {} resources cannot begin with {}",
            self.max_size,
            self.min_size
        );
        let state = ResourceState::new(self.max_size, self.as_stack);
        for _ in 0..self.min_size {
            state.put_idle(state.create(&*self.create)?);
        }
        Ok(Pool {
            state,
            create: self.create,
        })
    }
}

impl<T, E> fmt::Debug for PoolBuilder<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("min_size", &self.min_size)
            .field("max_size", &self.max_size)
            .field("order_as_stack", &self.as_stack)
            .finish_non_exhaustive()
    }
}
