//! `WorkersBuilder`: how many OS threads, and what each does first.

use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use super::control::Control;
use super::handle::WorkersHandle;
use super::worker::Worker;
use super::{Workers, runner};

/// Configures [`Workers`]. Returned by [`Workers::builder`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct WorkersBuilder {
    threads: Option<usize>,
    shares_listener: bool,
    stack_size: Option<usize>,
}

impl WorkersBuilder {
    /// Sets the number of OS threads. The default is
    /// [`available_parallelism`](std::thread::available_parallelism).
    ///
    /// # Panics
    ///
    /// Panics if `threads` is zero.
    pub fn threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "there must be at least one worker");
        self.threads = Some(threads);
        self
    }

    /// Sets whether all workers accept from one socket, even where the system can spread
    /// connections over several. The default is `false`.
    ///
    /// A worker that is not busy then accepts more than one that is, and each connection wakes all
    /// workers that wait for one. That suits handlers that compute for long.
    ///
    /// Only Linux spreads connections, so elsewhere one socket is always shared.
    pub fn shared_listener(mut self, shared: bool) -> Self {
        self.shares_listener = shared;
        self
    }

    /// Sets the size of the handlers' stacks in bytes, like
    /// [`Server::stack_size`](crate::Server::stack_size). A server with a size of its own keeps it.
    ///
    /// `setup` and the functions that make handlers have stacks of the default size, 256 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the workers. Each calls `setup` on a green thread of its own, which may go on for as
    /// long as the worker.
    ///
    /// Services do not wait for `setup`. When it returns, the worker goes on. If it panics, that
    /// worker is replaced by another one with the same index, which calls `setup` too. The requests
    /// in progress on the old worker are still answered, for up to ten seconds. A worker that fails
    /// again soon is replaced after a pause of up to a second.
    ///
    /// Never parks.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot create an OS thread. Those that were started are
    /// stopped.
    pub fn start(self, setup: impl Fn(Worker) + Send + Sync + 'static) -> io::Result<Workers> {
        let threads = self.threads.unwrap_or_else(available_threads);
        let control = Arc::new(Control::new(
            threads,
            self.shares_listener,
            self.stack_size,
            Box::new(setup),
        ));
        for index in 0..threads {
            if let Err(error) = runner::start(Worker::new(Arc::clone(&control), index)) {
                WorkersHandle::new(control).begin_stop(Duration::ZERO);
                return Err(error);
            }
        }
        Ok(Workers { control })
    }
}

fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}
