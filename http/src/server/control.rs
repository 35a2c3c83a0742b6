//! `ServerHandle`: stops a server from any OS thread, and counts what it does.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::now;
use evy_runtime::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How long `stop` waits beyond its deadline for OS threads that are computing.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// Stops a [`Server`](super::Server) in order. Returned by
/// [`Server::handle`](super::Server::handle).
///
/// A handle may be used on any OS thread, and does not keep the server alive. It covers all calls of
/// `serve` and `serve_connection` on the server and its clones.
///
/// # Examples
///
/// ```
/// use evy::http::{Client, Server};
/// use std::time::Duration;
///
/// let server = Server::default();
/// let handle = server.handle();
/// let listener = evy::listen("127.0.0.1:0")?;
/// let url = format!("http://{}/", listener.local_addr()?);
/// let serving = evy::spawn(move || server.serve(listener, |_request| "hello"));
///
/// assert_eq!(Client::new().get(&url)?.into_body().into_text()?, "hello");
/// assert_eq!(handle.requests(), 1);
/// assert_eq!(handle.stop(Duration::from_secs(10)), 0);
/// serving.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ServerHandle(Arc<Control>);

impl ServerHandle {
    pub(super) const fn new(control: Arc<Control>) -> Self {
        Self(control)
    }

    /// Stops the server in order, and returns the number of connections that are left.
    ///
    /// The server stops accepting at once, and closes the connections that are idle. The responses
    /// that it still sends announce `connection: close`. A client that has got its response, but is
    /// still sending the request, has time to read the response.
    ///
    /// After `grace`, the server kills the green threads of the connections that are left. One that
    /// cannot be ended is counted in the result: for example, if its handler computes, or parks in a
    /// destructor. With `panic = "abort"` none can be killed.
    ///
    /// The calls of `serve` return `Ok` once their connections have ended, or after `grace`. A server
    /// that was stopped stays so: later calls of `serve` return at once. A second call of `stop`
    /// waits for the same stop, and can only shorten its `grace`.
    ///
    /// A handler that calls it waits for its own connection, so it should do that on another green
    /// thread, which it spawns.
    ///
    /// Parks until all connections have ended, for at most `grace` and a fraction of a second.
    pub fn stop(&self, grace: Duration) -> usize {
        let deadline = now().checked_add(grace);
        let mut state = self.0.lock();
        state.deadline = Some(match state.deadline {
            Some(Some(other)) => Some(deadline.map_or(other, |deadline| deadline.min(other))),
            _ => deadline,
        });
        self.0.changed.notify_all();
        for serving in &state.serving {
            serving.is_stopping.store(true, Ordering::Relaxed);
            serving.changed.notify_all();
        }
        let limit = deadline.and_then(|deadline| deadline.checked_add(ANSWER_TIME));
        while state
            .serving
            .iter()
            .any(|serving| !serving.is_over.load(Ordering::Acquire))
        {
            let left = limit.map(|limit| limit.saturating_duration_since(now()));
            state = match left {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.0.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.0.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        drop(state);
        self.connections()
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        let state = self.0.lock();
        let counts = state.serving.iter().map(|serving| &serving.counts);
        counts
            .map(|counts| counts.connections.load(Ordering::Relaxed))
            .sum()
    }

    /// Returns the number of requests that the server has read.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let state = self.0.lock();
        let counts = state.serving.iter().map(|serving| &serving.counts);
        let live: u64 = counts
            .map(|counts| counts.requests.load(Ordering::Relaxed))
            .sum();
        state.requests_of_ended + live
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("connections", &self.connections())
            .field("requests", &self.requests())
            .finish()
    }
}

/// The state that a server shares with its handles and clones.
#[derive(Debug, Default)]
pub(super) struct Control {
    state: Mutex<State>,
    /// Notified when a call of `serve` is over.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The deadline of a stop, once one is requested. The inner `None` never passes.
    deadline: Option<Option<Instant>>,
    serving: Vec<Arc<Serving>>,
    requests_of_ended: u64,
}

impl Control {
    /// Registers a call of `serve`.
    pub(super) fn begin(self: &Arc<Self>) -> ServingGuard {
        let serving = Arc::<Serving>::default();
        let mut state = self.lock();
        let is_stopping = state.deadline.is_some();
        serving.is_stopping.store(is_stopping, Ordering::Relaxed);
        state.serving.push(Arc::clone(&serving));
        drop(state);
        ServingGuard {
            control: Arc::clone(self),
            serving,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one call of `serve` does.
#[derive(Debug, Default)]
pub(super) struct Serving {
    counts: Arc<Counts>,
    /// Whether its connections are not to be kept.
    is_stopping: AtomicBool,
    /// The deadline of a stop of this call alone. It is set while the state is locked.
    deadline: OnceLock<Option<Instant>>,
    is_over: AtomicBool,
    /// Notified when the server is stopped, and when the call has nothing left to do.
    changed: Condvar,
}

impl Serving {
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}

/// Counts that one OS thread writes and any may read.
#[derive(Debug, Default)]
pub(super) struct Counts {
    connections: AtomicUsize,
    requests: AtomicU64,
}

impl Counts {
    pub(super) fn set_connections(&self, connections: usize) {
        self.connections.store(connections, Ordering::Relaxed);
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn add_request(&self) {
        // Only this OS thread writes it.
        let requests = self.requests.load(Ordering::Relaxed);
        self.requests.store(requests + 1, Ordering::Relaxed);
    }
}

/// A call of `serve`, until this is dropped.
pub(super) struct ServingGuard {
    control: Arc<Control>,
    serving: Arc<Serving>,
}

impl ServingGuard {
    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.serving.counts)
    }

    /// Waits until the server is stopped, and returns the deadline. Returns `None` if `is_done`
    /// first, which is asked again after [`notify`](Self::notify).
    ///
    /// Parks until then.
    pub(super) fn wait_for_stop(&self, is_done: impl Fn() -> bool) -> Option<Option<Instant>> {
        let mut state = self.control.lock();
        loop {
            if is_done() {
                return None;
            }
            let deadline = self.deadline(&state);
            if deadline.is_some() {
                return deadline;
            }
            let waited = self.serving.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Calls `is_done` now and after each stop and each [`notify`](Self::notify), until it returns
    /// `true`. It must not park.
    ///
    /// Parks until then.
    pub(super) fn watch(&self, is_done: impl Fn() -> bool) {
        let mut state = self.control.lock();
        while !is_done() {
            let waited = self.serving.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns the deadline of the stop, if one was requested.
    pub(super) fn stop_deadline(&self) -> Option<Option<Instant>> {
        self.deadline(&self.control.lock())
    }

    fn deadline(&self, state: &State) -> Option<Option<Instant>> {
        let own = self.serving.deadline.get().copied();
        state.deadline.or(own)
    }

    /// Makes the responses of this call announce `connection: close`.
    pub(super) fn announce_stop(&self) {
        self.serving.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Stops this call alone, like [`ServerHandle::stop`], without waiting for it.
    pub(super) fn stop(&self, deadline: Option<Instant>) {
        self.announce_stop();
        let state = self.control.lock();
        // A second one changes nothing.
        self.serving.deadline.set(deadline).ok();
        drop(state);
        self.notify();
    }

    pub(super) fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.serving)
    }

    pub(super) fn notify(&self) {
        self.serving.changed.notify_all();
    }

    /// Tells the handles that nothing more can be done.
    pub(super) fn set_over(&self) {
        self.serving.is_over.store(true, Ordering::Release);
        drop(self.control.lock());
        self.control.changed.notify_all();
    }
}

impl Drop for ServingGuard {
    fn drop(&mut self) {
        self.set_over();
        let connections = self.serving.counts.connections.load(Ordering::Relaxed);
        if connections > 0 {
            // They are still counted.
            return;
        }
        let mut state = self.control.lock();
        state.requests_of_ended += self.serving.counts.requests.load(Ordering::Relaxed);
        state
            .serving
            .retain(|serving| !Arc::ptr_eq(serving, &self.serving));
        drop(state);
    }
}
