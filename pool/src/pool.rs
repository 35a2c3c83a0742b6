//! `Pool`: resources to be used by one green thread at a time, created as they are needed.

use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::lowlevel::now;

use crate::pool_guard::PoolGuard;
use crate::resource_state::{ResourcePermit, ResourceState};

/// How many resources a pool has at most unless said otherwise.
const DEFAULT_MAX_SIZE: usize = 4;

type Create<T, E> = dyn Fn() -> Result<T, E>;

/// A pool of resources, connections say: [`get`](Self::get) parks while all are in use.
///
/// A resource is created when it is asked for and none lies idle, by a function that may park and
/// may fail, up to `max_size` of them; then who has waited longest gets the next one that comes
/// back. A clone is another handle to the same pool.
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
    /// A pool of at most `max_size` resources, whose creation cannot fail. Never parks.
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
    /// A pool of at most `max_size` resources, empty as yet. Never parks. One of size zero gives
    /// nothing until it is resized.
    #[must_use]
    pub fn new(max_size: usize, create: impl Fn() -> Result<T, E> + 'static) -> Self {
        Self {
            state: ResourceState::new(max_size, false),
            create: Rc::new(create),
        }
    }

    /// A pool with more to choose. Never parks.
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

    /// A resource, idle or new. Parks while all are in use, and where `create` parks; who has waited
    /// longest comes first.
    ///
    /// # Errors
    ///
    /// That of `create`. The next waiter then tries to create.
    ///
    /// # Panics
    ///
    /// Where `create` does. The next waiter then tries to create.
    pub fn get(&self) -> Result<PoolGuard<T>, E> {
        self.checkout(self.state.acquire())
    }

    /// As [`get`](Self::get), or `None` if all were in use for as long as `timeout`. It bounds the
    /// wait in the queue; [`evy_runtime::timeout`] bounds `create` as well.
    ///
    /// # Errors
    ///
    /// That of `create`.
    ///
    /// # Panics
    ///
    /// Where `create` does.
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
        // A deadline that no clock can show never comes.
        let permit = self.state.acquire_deadline(now().checked_add(timeout));
        permit.map(|permit| self.checkout(permit)).transpose()
    }

    /// As [`get`](Self::get), or `None` if all are in use right now. Parks nowhere but in `create`.
    ///
    /// # Errors
    ///
    /// That of `create`.
    ///
    /// # Panics
    ///
    /// Where `create` does.
    pub fn try_get(&self) -> Result<Option<PoolGuard<T>>, E> {
        let permit = self.state.try_acquire();
        permit.map(|permit| self.checkout(permit)).transpose()
    }

    fn checkout(&self, permit: ResourcePermit<T>) -> Result<PoolGuard<T>, E> {
        let resource = match permit.state().pop_idle() {
            Some(idle) => idle,
            None => permit.state().create(&*self.create)?,
        };
        Ok(PoolGuard::new(resource, permit))
    }

    /// Changes how many resources there may be. With more, waiters go on at once; with fewer, idle
    /// ones in excess are dropped now, and those in use when they are given back. Parks nowhere but
    /// in the destructor of a resource.
    pub fn resize(&self, max_size: usize) {
        self.state.resize(max_size);
    }

    /// How many resources there may be. Never parks.
    #[must_use]
    pub fn max_size(&self) -> usize {
        self.state.max_size()
    }

    /// How many resources there are, idle, in use or being created. Never parks.
    #[must_use]
    pub fn current_size(&self) -> usize {
        self.state.size()
    }

    /// How many more may be in use; negative after a [`resize`](Self::resize) to less than are.
    /// Never parks.
    #[must_use]
    pub fn free(&self) -> isize {
        self.max_size().cast_signed() - self.state.in_use().cast_signed()
    }

    /// How many green threads are parked until they get a resource. Never parks.
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

/// What a [`Pool`] is to be like; see [`Pool::builder`].
#[must_use = "nothing is made before `build`"]
pub struct PoolBuilder<T, E = Infallible> {
    create: Rc<Create<T, E>>,
    min_size: usize,
    max_size: usize,
    as_stack: bool,
}

impl<T, E> PoolBuilder<T, E> {
    /// How many resources are created in advance, none unless said otherwise. They are not replaced
    /// before somebody asks for one. Never parks.
    pub fn min_size(mut self, min_size: usize) -> Self {
        self.min_size = min_size;
        self
    }

    /// How many resources there may be, 4 unless said otherwise. Never parks.
    pub fn max_size(mut self, max_size: usize) -> Self {
        self.max_size = max_size;
        self
    }

    /// Whether the resource that was given back last is used next, so that in quiet times the same
    /// few are in use. Unless said so they take turns. Never parks.
    pub fn order_as_stack(mut self, as_stack: bool) -> Self {
        self.as_stack = as_stack;
        self
    }

    /// The pool, with `min_size` resources in it. Parks where `create` does.
    ///
    /// # Errors
    ///
    /// That of `create`; what was created before it is dropped.
    ///
    /// # Panics
    ///
    /// If `min_size` is more than `max_size`, and where `create` does.
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
