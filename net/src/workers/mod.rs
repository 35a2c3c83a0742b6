//! `Workers`: several OS threads that serve together, each with its own scheduler and listener.
//!
//! All OS threads share one [`Control`](control::Control), which owns the listening sockets and
//! lists the services. Each worker compares that list with what it runs, so one that was replaced
//! catches up by itself. A stop goes through these steps:
//!
//! 1. `stop` makes all sockets refuse new handshakes, and sets the deadline.
//! 2. Each worker announces the end to its services, which still accept what the kernel has queued.
//! 3. Once its queue is empty, a worker closes its socket, and its services stop accepting.
//! 4. The services wait for their connections. At the deadline, or when all have ended, the worker
//!    kills its other green threads, and its OS thread ends.
//! 5. `stop` counts what is left, and closes the sockets of workers that did not answer.

mod active;
mod builder;
mod control;
mod handle;
#[cfg(target_os = "linux")]
mod linux;
mod listeners;
mod on_drop;
mod pause;
#[cfg(not(target_os = "linux"))]
mod portable;
mod registration;
mod runner;
mod serve;
mod service;
mod worker;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::addr::ToSocketAddrs;
use control::Control;

pub use builder::WorkersBuilder;
pub use handle::{Stopped, WorkersHandle};
pub use listeners::WorkerListeners;
pub use serve::{serve_each, serve_on};
pub use service::{Service, Serving};
pub use worker::Worker;

/// OS threads that serve together. Each has its own scheduler and, on Linux, its own listener,
/// among which the kernel spreads the connections.
///
/// - [`serve_on`] serves connections on all workers, and the function of that name in `evy::http`
///   serves HTTP. [`serve_each`] serves any [`Listener`](crate::Listener), such as that of TLS.
/// - Handlers stay on the OS thread on which they were made. Only the function that makes them is
///   shared.
/// - [`handle`](Self::handle) stops all workers in order, from any OS thread.
/// - The OS threads are named `evy-worker-0`, `evy-worker-1` and so on.
///
/// A worker that computes, or blocks its OS thread, serves nothing meanwhile, and neither do the
/// others serve what the kernel has assigned to it. With
/// [`shared_listener`](WorkersBuilder::shared_listener) the others do.
///
/// Dropping it detaches the workers, which run on until a handle stops them.
///
/// # Examples
///
/// ```
/// use evy::net::{Workers, serve_on};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let workers = Workers::builder().threads(2).start(|_worker| ())?;
/// let addr = serve_on(&workers, "127.0.0.1:0", || {
///     // Each worker has its own count, which needs no lock.
///     let count = std::cell::Cell::new(0);
///     move |mut client: evy::net::TcpStream, _addr| {
///         count.set(count.get() + 1);
///         write!(client, "client {} of this worker\n", count.get())
///     }
/// })?;
///
/// let mut text = String::new();
/// evy::connect(addr)?.read_to_string(&mut text)?;
/// assert_eq!(text, "client 1 of this worker\n");
/// let stopped = workers.handle().stop(Duration::from_secs(10));
/// assert_eq!((stopped.left, stopped.unaccepted), (0, 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping it detaches the workers"]
pub struct Workers {
    control: Arc<Control>,
}

impl Workers {
    /// Returns a builder for workers, one for each CPU that the program may use.
    pub fn builder() -> WorkersBuilder {
        WorkersBuilder::default()
    }

    /// Returns the number of workers.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.control.threads
    }

    /// Returns a handle that stops the workers, from any OS thread.
    #[must_use]
    pub fn handle(&self) -> WorkersHandle {
        WorkersHandle::new(Arc::clone(&self.control))
    }

    /// Creates listening sockets at `addr` for all workers. They belong to the workers' supervisor,
    /// so one that is replaced gets its socket back with what is queued there.
    ///
    /// If the port is zero, the system chooses one for all of them. Like
    /// [`listen`](crate::listen), it fails if anything else listens at `addr`.
    ///
    /// Most programs use [`serve_on`], which calls it. See there for how to serve TLS.
    ///
    /// Parks only to resolve a name.
    ///
    /// # Errors
    ///
    /// Returns an error as `listen` does, and one if the workers were stopped.
    pub fn listen<A: ToSocketAddrs>(&self, addr: A) -> io::Result<WorkerListeners> {
        let sockets = match self.control.shares_listener || !system::BALANCES {
            true => 1,
            false => self.threads(),
        };
        let listeners = WorkerListeners::bind(addr, sockets, self.threads())?;
        self.control.add_listeners(&listeners)?;
        Ok(listeners)
    }

    /// Waits until the workers were stopped, and returns what [`WorkersHandle::stop`] does.
    ///
    /// Parks until then. Between the start of a stop and its deadline, it waits for the workers.
    pub fn join(self) -> Stopped {
        self.control.wait_until_stopped()
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

/// Runs `service` on all workers, also on those that are replaced later, until they are stopped or
/// the service ends.
///
/// For crates that serve other protocols. Programs use [`serve_on`] and [`serve_each`].
///
/// Parks until all workers have prepared it.
///
/// # Errors
///
/// Returns the first error of [`Service::prepare`], and one if the workers were stopped. The
/// service then ends on the other workers.
pub fn run_service(workers: &Workers, service: impl Service) -> io::Result<()> {
    workers.control.run_service(Arc::new(service))
}
