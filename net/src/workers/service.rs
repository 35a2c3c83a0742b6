//! `Service` and `Serving`: what a protocol implements to be served on workers.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use super::worker::Worker;

/// Something that is served on all workers of [`Workers`](super::Workers).
pub trait Service: Send + Sync + 'static {
    /// Makes what serves on one worker. Called there, on a green thread of its own, and again if
    /// the worker is replaced.
    ///
    /// # Errors
    ///
    /// Returns an error if the worker cannot serve.
    fn prepare(&self, worker: Worker) -> io::Result<Rc<dyn Serving>>;

    /// Returns the number of connections that are open on all workers.
    fn connections(&self) -> usize;
}

/// A service on one worker.
pub trait Serving {
    /// Serves. Called once.
    ///
    /// Parks until the service is stopped and its connections have ended. If it returns `Ok` before
    /// the workers are stopped, the service ends on all workers.
    ///
    /// # Errors
    ///
    /// Returns an error after which the worker prepares the service anew.
    fn serve(&self) -> io::Result<()>;

    /// Announces that the service will be stopped soon. It still accepts connections, but should
    /// not keep them.
    fn announce_stop(&self) {}

    /// Stops accepting, and makes `serve` return when the connections have ended. Those that are
    /// left at the deadline may be killed.
    fn stop(&self, deadline: Option<Instant>);
}
