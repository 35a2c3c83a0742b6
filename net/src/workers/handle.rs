//! `WorkersHandle`: stops workers from any OS thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use evy_runtime::lowlevel::now;

use super::control::Control;

/// Stops [`Workers`](super::Workers) in order. Returned by
/// [`Workers::handle`](super::Workers::handle).
///
/// A handle may be used on any OS thread. It does not keep the workers running, and dropping it
/// stops nothing.
#[derive(Clone)]
pub struct WorkersHandle(Arc<Control>);

impl WorkersHandle {
    pub(super) const fn new(control: Arc<Control>) -> Self {
        Self(control)
    }

    /// Stops the workers in order, and returns what could not be ended.
    ///
    /// First, no worker accepts further connections; those that the kernel has queued are still
    /// served. Then the connections are served to their end: HTTP servers close idle connections,
    /// and announce `connection: close` on the others. When all connections have ended, and after
    /// `grace` at the latest, each worker kills its green threads that are left, and its OS thread
    /// ends.
    ///
    /// A worker whose OS thread is blocked or computes then is not waited for. It ends when it is
    /// done. With `panic = "abort"` no green thread can be killed.
    ///
    /// A second call waits for the same stop, and can only shorten its `grace`.
    ///
    /// A handler that calls it waits for its own connection, and is killed then. So it should ask
    /// another OS thread to call it.
    ///
    /// Parks until all workers have ended, for at most `grace` and a fraction of a second.
    pub fn stop(&self, grace: Duration) -> Stopped {
        self.begin_stop(grace);
        self.0.wait_until_stopped()
    }

    /// Makes the workers stop like [`stop`](Self::stop), without waiting for them.
    ///
    /// Never parks.
    pub fn begin_stop(&self, grace: Duration) {
        self.0.begin_stop(now().checked_add(grace));
    }

    /// Returns the number of open connections on all workers.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections()
    }

    /// Whether a stop has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping()
    }
}

impl fmt::Debug for WorkersHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkersHandle")
            .field("is_stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}

/// What a stop of [`Workers`](super::Workers) could not end in order. Returned by
/// [`WorkersHandle::stop`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// The number of connections that are left. They could not be ended in time, for example
    /// because their handlers compute, or park in a destructor.
    pub left: usize,
    /// The number of connections that no worker has accepted in time. The kernel had queued them,
    /// and they were closed without an answer.
    pub unaccepted: usize,
    /// The number of workers whose OS thread is still running, because it is blocked or computes.
    pub blocked_workers: usize,
}
