//! `PoolGuard`: a resource in use.

use std::fmt;
use std::ops::{Deref, DerefMut};

use evy_runtime::thread::panicking;

use crate::resource_state::ResourcePermit;

const NOT_CONSUMED: &str = "a guard has its resource until it is consumed";

/// A resource of a [`Pool`](crate::Pool) in use, which is returned to the pool when the guard is
/// dropped.
///
/// If the guard is dropped by a green thread that unwinds, the resource is discarded, because its
/// state is unknown. The cause may be a panic, a kill, or a timeout around it. For example, the
/// next user of a connection must not read the answer to an earlier request. The slot of the
/// resource in the pool becomes free in any case.
///
/// If the guard outlives the unwinding, its resource is kept. After a timeout that ended *during*
/// the life of the guard, consider [`PoolGuard::discard`].
///
/// Dropping a guard parks only if the resource is discarded and its destructor parks. The slot is
/// released after that, so a resource and its successor never exist at the same time.
#[must_use = "the resource is returned at once if it is not used"]
pub struct PoolGuard<T> {
    /// `None` once the guard has been consumed.
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

    /// Drops a resource that is broken. A new one may be created instead.
    ///
    /// This is an associated function, so that it hides no method of the resource.
    ///
    /// Parks only where the destructor of the resource parks.
    ///
    /// # Panics
    ///
    /// Panics if the destructor of the resource panics.
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
        let resource = Self::take_resource(&mut guard);
        guard.permit.state().discard(resource);
    }

    /// Removes the resource from the pool permanently and returns it. A new one may be created
    /// instead.
    ///
    /// This is an associated function, so that it hides no method of the resource.
    #[must_use = "the resource is dropped if it is not used"]
    pub fn into_inner(mut guard: Self) -> T {
        let resource = Self::take_resource(&mut guard);
        guard.permit.state().forget();
        resource
    }

    fn take_resource(guard: &mut Self) -> T {
        guard.resource.take().expect(NOT_CONSUMED)
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
        self.resource.as_ref().expect(NOT_CONSUMED)
    }
}

impl<T> DerefMut for PoolGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.resource.as_mut().expect(NOT_CONSUMED)
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
