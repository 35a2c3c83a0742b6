//! A resource in use.

use std::fmt;
use std::ops::{Deref, DerefMut};

use evy_runtime::thread::panicking;

use crate::resource_state::ResourcePermit;

const HAS_ONE: &str = "a guard has its resource until it is consumed";

/// A resource of a [`Pool`](crate::Pool) in use; given back when dropped.
///
/// Dropped by a green thread that unwinds (a panic, a kill, a timeout around it), the resource is
/// discarded, since nobody can know in the middle of what it was left: the next user of a connection
/// must not read the answer to somebody else's request. Its place is free again in any case.
///
/// A guard that outlives the unwinding is not discarded: after a timeout *inside* its life, consider
/// [`PoolGuard::discard`].
///
/// Dropping and discarding park nowhere but in the destructor of a resource that is not kept. It is
/// done before the place is free, so that a resource and its successor never exist both.
#[must_use = "the resource is given back at once if it is not used"]
pub struct PoolGuard<T> {
    /// Gone when the guard was consumed.
    resource: Option<T>,
    permit: ResourcePermit<T>,
}

impl<T> PoolGuard<T> {
    pub(crate) fn new(resource: T, permit: ResourcePermit<T>) -> Self {
        Self {
            resource: Some(resource),
            permit,
        }
    }

    /// Drops a resource that is broken; a new one may be created in its place. It is an associated
    /// function, so that it hides no method of the resource.
    ///
    /// # Panics
    ///
    /// Where the resource's destructor does.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::pool::{PoolGuard, Pool};
    ///
    /// let pool = Pool::infallible(1, String::new);
    /// let Ok(broken) = pool.get();
    /// PoolGuard::discard(broken);
    /// assert_eq!((pool.current_size(), pool.free()), (0, 1));
    /// ```
    pub fn discard(mut guard: Self) {
        let resource = Self::empty(&mut guard);
        guard.permit.state().discard(resource);
    }

    /// Takes the resource out of the pool for good; a new one may be created in its place. It is an
    /// associated function, so that it hides no method of the resource. Never parks.
    #[must_use = "the resource is dropped if nobody takes it"]
    pub fn into_inner(mut guard: Self) -> T {
        let resource = Self::empty(&mut guard);
        guard.permit.state().forget();
        resource
    }

    fn empty(guard: &mut Self) -> T {
        guard.resource.take().expect(HAS_ONE)
    }
}

impl<T> Drop for PoolGuard<T> {
    fn drop(&mut self) {
        let Some(resource) = self.resource.take() else {
            return;
        };
        if panicking() {
            self.permit.state().discard(resource);
        } else {
            self.permit.state().put_idle(resource);
        }
    }
}

impl<T> Deref for PoolGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.resource.as_ref().expect(HAS_ONE)
    }
}

impl<T> DerefMut for PoolGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.resource.as_mut().expect(HAS_ONE)
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
