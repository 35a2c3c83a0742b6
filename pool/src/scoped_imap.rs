//! `ScopedImap`: an `imap` whose feeder and jobs are children of a scope, so they may borrow.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use evy_runtime::lowlevel::spawn_scoped_at;
use evy_runtime::thread::{JoinHandle, Scope};

use crate::feeder::Spawner;
use crate::imap::Imap;
use crate::imap_state::Order;
use crate::pool_state::{PoolState, SpawnSite};

/// Iterator returned by [`GreenPool::imap_scoped`](crate::GreenPool::imap_scoped) and
/// [`imap_unordered_scoped`](crate::GreenPool::imap_unordered_scoped).
///
/// [`next`](Iterator::next) parks until there is a result. It panics on the root green thread if a
/// deadlock is detected.
#[must_use = "dropping the iterator stops the mapping at once: consume it, for example with \
              `for_each(drop)`"]
pub struct ScopedImap<'scope, T> {
    imap: Imap<T>,
    /// With this lifetime, the body of the scope cannot return the iterator. The scope would wait
    /// for a feeder that waits for its results to be read.
    scope: PhantomData<&'scope ()>,
}

impl<'scope, T: 'scope> ScopedImap<'scope, T> {
    #[track_caller]
    pub(crate) fn start<F, I>(
        pool: &Rc<PoolState>,
        scope: &'scope Scope<'scope, '_>,
        site: SpawnSite,
        order: Order,
        f: F,
        inputs: I,
    ) -> Self
    where
        F: Fn(I::Item) -> T + 'scope,
        I: Iterator + 'scope,
        I::Item: 'scope,
    {
        Self {
            imap: Imap::start(pool, scope, site, order, f, inputs),
            scope: PhantomData,
        }
    }
}

impl<'scope> Spawner<'scope> for &'scope Scope<'scope, '_> {
    fn spawn_feeder(self, site: SpawnSite, f: impl FnOnce() + 'scope) -> JoinHandle<()> {
        spawn_scoped_at(self, site, f)
    }

    fn spawn_job(
        self,
        pool: &Rc<PoolState>,
        site: SpawnSite,
        f: impl FnOnce() + 'scope,
    ) -> JoinHandle<()> {
        pool.spawn_scoped(self, site, f)
    }
}

impl<T> Iterator for ScopedImap<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.imap.next()
    }
}

impl<T> fmt::Debug for ScopedImap<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedImap")
            .field("unread", &self.imap.unread())
            .finish_non_exhaustive()
    }
}
