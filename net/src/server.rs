//! `Server`: an accept loop that survives a lack of resources and limits the number of connections.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use evy_runtime::lowlevel::{WaitQueue, WaitReason};
use evy_runtime::{Semaphore, SemaphoreGuard, scope, sleep, spawn_n};

use crate::listener::Listener;
use crate::stream::Stream;

const MAX_CONNECTIONS: usize = 1000;

/// The first and the longest pause after a transient error.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The return type of a connection handler: `()`, or a `Result`. An error ends the server.
pub trait HandlerResult {
    /// Converts the value into a `Result`.
    ///
    /// # Errors
    ///
    /// Returns the error of the handler.
    fn into_result(self) -> Result<(), Box<dyn Error + Send + Sync>>;
}

impl HandlerResult for () {
    fn into_result(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> HandlerResult for Result<(), E> {
    fn into_result(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)
    }
}

/// Accepts connections and runs `handler` for each, on a green thread of its own, up to 1000 at a
/// time. The same as [`Server::serve`] with default settings.
///
/// Parks until the server fails.
///
/// # Errors
///
/// Returns an error as [`Server::serve`] does.
///
/// # Examples
///
/// ```no_run
/// use std::io::Write;
///
/// let server = evy::listen("127.0.0.1:6000")?;
/// evy::serve(server, |mut client, _addr| {
///     client.write_all(b"hello\n").ok();
/// })
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub fn serve<L, H, R>(listener: L, handler: H) -> io::Result<()>
where
    L: Listener,
    H: Fn(L::Stream, L::Addr) -> R + 'static,
    R: HandlerResult,
{
    Server::new().serve(listener, handler)
}

/// A configurable accept loop.
#[derive(Debug)]
pub struct Server {
    max_connections: usize,
    on_error: Option<OnError>,
    state: Rc<ServerState>,
}

#[derive(Clone)]
struct OnError(Rc<dyn Fn(&io::Error)>);

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnError")
    }
}

/// State shared by the accept loop, its handlers and its handles.
#[derive(Debug, Default)]
struct ServerState {
    stopped: Cell<bool>,
    error: RefCell<Option<io::Error>>,
    stopped_or_failed: WaitQueue,
}

impl ServerState {
    fn stop(&self, error: Option<io::Error>) {
        if !self.stopped.replace(true) {
            *self.error.borrow_mut() = error;
        }
        self.stopped_or_failed.wake_all();
    }
}

/// Stops a [`Server`] from another green thread. It does not keep the server alive.
#[derive(Clone, Debug)]
pub struct ServerHandle(Weak<ServerState>);

impl ServerHandle {
    /// Stops accepting connections and makes `serve` return. Connections already being handled run
    /// to completion.
    pub fn stop(&self) {
        if let Some(state) = self.0.upgrade() {
            state.stop(None);
        }
    }
}

impl Server {
    /// Creates a server for up to 1000 connections at a time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            on_error: None,
            state: Rc::default(),
        }
    }

    /// Sets how many connections are handled at a time; further ones wait to be accepted. The
    /// default is 1000.
    ///
    /// # Panics
    ///
    /// Panics if `connections` is zero.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        assert!(
            connections > 0,
            "a server must allow at least one connection"
        );
        self.max_connections = connections;
        self
    }

    /// Sets a callback for errors that the server survives: no descriptor or memory for another
    /// connection, and a failed [handshake](Stream::handshake).
    #[must_use]
    pub fn on_error(mut self, report: impl Fn(&io::Error) + 'static) -> Self {
        self.on_error = Some(OnError(Rc::new(report)));
        self
    }

    /// Returns a handle that can stop the server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Rc::downgrade(&self.state))
    }

    /// Accepts connections and runs `handler` for each, on a green thread of its own.
    ///
    /// A connection is closed when its handler returns, fails or panics. A panic is reported by the
    /// panic hook and affects no other connection. If descriptors or memory run out, the server
    /// pauses and retries; clients wait meanwhile.
    ///
    /// Parks until a handle stops the server, or until it fails.
    ///
    /// # Errors
    ///
    /// Returns the error of a handler, and an error of the listener that is not transient.
    ///
    /// # Panics
    ///
    /// Panics on the root green thread if a deadlock is detected.
    pub fn serve<L, H, R>(self, listener: L, handler: H) -> io::Result<()>
    where
        L: Listener,
        H: Fn(L::Stream, L::Addr) -> R + 'static,
        R: HandlerResult,
    {
        let state = &self.state;
        scope(|s| {
            let accepting = s.spawn(|| {
                let error = self.accept(&listener, Rc::new(handler));
                state.stop(Some(error));
            });
            while !state.stopped.get() {
                state
                    .stopped_or_failed
                    .wait(WaitReason::Other("its server to be stopped"));
            }
            accepting.kill();
        });
        match self.state.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Runs the accept loop. Returns an error that is not transient.
    fn accept<L, H, R>(&self, listener: &L, handler: Rc<H>) -> io::Error
    where
        L: Listener,
        H: Fn(L::Stream, L::Addr) -> R + 'static,
        R: HandlerResult,
    {
        let permits = Semaphore::new(self.max_connections);
        let mut backoff = BACKOFF_MIN;
        loop {
            let permit = permits.acquire_guard();
            let (client, addr) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if is_transient(&error) => {
                    if let Some(OnError(report)) = &self.on_error {
                        report(&error);
                    }
                    sleep(backoff);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    continue;
                }
                Err(error) => return error,
            };
            backoff = BACKOFF_MIN;
            let connection = Connection {
                client,
                _permit: permit,
            };
            let (handler, state) = (Rc::clone(&handler), Rc::clone(&self.state));
            let on_error = self.on_error.clone();
            spawn_n(move || {
                // The connection is captured as a whole.
                let mut connection = connection;
                if let Err(error) = connection.client.handshake() {
                    if let Some(OnError(report)) = on_error {
                        report(&error);
                    }
                    return;
                }
                if let Err(error) = handler(connection.client, addr).into_result() {
                    state.stop(Some(into_io_error(error)));
                }
            });
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// An accepted connection. The fields are dropped in this order: the permit is held until the
/// connection is closed.
struct Connection<S> {
    client: S,
    _permit: SemaphoreGuard,
}

/// Whether the error is transient: out of descriptors or memory.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)
    )
}

/// Returns an I/O error as it is, and wraps any other error in one.
fn into_io_error(error: Box<dyn Error + Send + Sync>) -> io::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(other) => io::Error::other(other),
    }
}
