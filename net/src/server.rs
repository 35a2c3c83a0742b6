//! `Server`: an accept loop that survives errors of single connections and a lack of resources, and
//! limits the number of connections.

use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Debug};
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use evy_runtime::lowlevel::{WaitQueue, WaitReason, resume_unwind};
use evy_runtime::thread::Builder;
use evy_runtime::{Semaphore, SemaphoreGuard, scope, sleep, yield_now};

use crate::accept_error::AcceptError;
use crate::listener::Listener;
use crate::on_error::OnError;
use crate::stream::Stream;

const MAX_CONNECTIONS: usize = 1000;

/// The first and the longest pause after an error that may come again at once.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The return type of a connection handler: `()`, or a `Result`. An error ends the connection, and
/// is reported to [`Server::on_error`].
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
/// Parks until the listener fails.
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
/// evy::serve(server, |mut client, _addr| client.write_all(b"hello\n"))
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
    stack_size: Option<usize>,
    on_error: Option<OnError>,
    state: Rc<ServerState>,
}

/// State shared by `serve` and the handles.
#[derive(Debug, Default)]
struct ServerState {
    stopped: Cell<bool>,
    /// The green thread in `serve`. It waits for `stopped`, and for the end of the accept loop.
    serving: WaitQueue,
}

/// Stops a [`Server`] from another green thread. It does not keep the server alive.
#[derive(Clone, Debug)]
pub struct ServerHandle(Weak<ServerState>);

impl ServerHandle {
    /// Stops accepting connections and makes `serve` return. Connections already being handled run
    /// to completion.
    pub fn stop(&self) {
        if let Some(state) = self.0.upgrade() {
            state.stopped.set(true);
            state.serving.wake_all();
        }
    }
}

impl Server {
    /// Creates a server for up to 1000 connections at a time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            stack_size: None,
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

    /// Sets the size of the handlers' stacks in bytes, like
    /// [`Builder::stack_size`](evy_runtime::thread::Builder::stack_size). The default is 256 KiB.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use evy::net::{Server, TcpStream};
    ///
    /// let listener = evy::listen("127.0.0.1:6000")?;
    /// let server = Server::new().stack_size(1 << 20);
    /// server.serve(listener, |_client: TcpStream, _addr| {
    ///     // Code that recurses deeply.
    /// })
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Sets the size of the handlers' stacks, unless it is set already.
    pub(crate) fn or_stack_size(mut self, bytes: Option<usize>) -> Self {
        self.stack_size = self.stack_size.or(bytes);
        self
    }

    /// Sets a callback for errors that the server survives.
    ///
    /// They are the errors of handlers, of [handshakes](Stream::handshake), of single connections
    /// while they are accepted, and a lack of descriptors or memory. The error of a handshake begins
    /// with the address of the peer.
    ///
    /// The callback may park. A panic of it affects nothing else.
    #[must_use]
    pub fn on_error(mut self, report: impl Fn(&io::Error) + 'static) -> Self {
        self.on_error = Some(OnError::new(report));
        self
    }

    /// Returns a handle that can stop the server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Rc::downgrade(&self.state))
    }

    /// Accepts connections and runs `handler` for each, on a green thread of its own.
    ///
    /// A connection is closed when its handler returns, fails or panics. That affects no other
    /// connection. An error is reported to [`on_error`](Self::on_error), and a panic by the panic
    /// hook. If descriptors or memory run out, the server pauses and retries; clients wait
    /// meanwhile.
    ///
    /// Parks until a handle stops the server, or until the listener fails.
    ///
    /// # Errors
    ///
    /// Returns an error of the listener itself. Errors that accept(2) calls transient are survived.
    ///
    /// # Panics
    ///
    /// Panics if the listener panics, if no stack can be allocated for the accept loop, and on the
    /// root green thread if a deadlock is detected.
    pub fn serve<L, H, R>(self, listener: L, handler: H) -> io::Result<()>
    where
        L: Listener,
        H: Fn(L::Stream, L::Addr) -> R + 'static,
        R: HandlerResult,
    {
        let state = &self.state;
        let accepting = Cell::new(true);
        scope(|s| {
            let accept_loop = s.spawn(|| {
                let _guard = AcceptLoopGuard {
                    accepting: &accepting,
                    state,
                };
                self.accept(&listener, Rc::new(handler))
            });
            while accepting.get() && !state.stopped.get() {
                state
                    .serving
                    .wait(WaitReason::Other("its server to be stopped"));
            }
            accept_loop.kill();
            match accept_loop.join() {
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                _ if state.stopped.get() => Ok(()),
                Ok(error) => Err(error),
                Err(_) => Err(io::Error::other("the accept loop was killed")),
            }
        })
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
                Err(error) => {
                    let about = AcceptError::of(&error);
                    if about == AcceptError::Listener {
                        return error;
                    }
                    self.report(&error);
                    match about {
                        AcceptError::Connection => yield_now(),
                        _ => pause(&mut backoff),
                    }
                    continue;
                }
            };
            let connection = Connection {
                client,
                addr,
                _permit: permit,
            };
            // The closure finds its connection here. It is dropped if it cannot be spawned, and the
            // connection must not be lost with it.
            let slot = Rc::new(Cell::new(Some(connection)));
            while let Err(error) = self.spawn_handler(Rc::clone(&slot), Rc::clone(&handler)) {
                self.report(&error);
                pause(&mut backoff);
            }
            backoff = BACKOFF_MIN;
        }
    }

    /// Spawns the green thread of the connection in `slot`.
    ///
    /// # Errors
    ///
    /// Returns an error if no stack can be allocated.
    fn spawn_handler<S, A, H, R>(
        &self,
        slot: Rc<Cell<Option<Connection<S, A>>>>,
        handler: Rc<H>,
    ) -> io::Result<()>
    where
        S: Stream,
        A: Debug + 'static,
        H: Fn(S, A) -> R + 'static,
        R: HandlerResult,
    {
        let on_error = self.on_error.clone();
        let handle = with_stack(self.stack_size).spawn(move || {
            let Some(connection) = slot.take() else {
                return;
            };
            if let (Err(error), Some(on_error)) = (connection.handle(&*handler), on_error) {
                on_error.report(&error);
            }
        });
        handle.map(drop)
    }

    fn report(&self, error: &io::Error) {
        if let Some(on_error) = &self.on_error {
            on_error.report(error);
        }
    }
}

/// Notifies `serve` that the accept loop has ended, however that happened.
struct AcceptLoopGuard<'a> {
    accepting: &'a Cell<bool>,
    state: &'a ServerState,
}

impl Drop for AcceptLoopGuard<'_> {
    fn drop(&mut self) {
        self.accepting.set(false);
        self.state.serving.wake_all();
    }
}

/// Returns a builder of green threads with a stack of this size, or of the default one.
fn with_stack(bytes: Option<usize>) -> Builder {
    match bytes {
        Some(bytes) => Builder::new().stack_size(bytes),
        None => Builder::new(),
    }
}

fn pause(backoff: &mut Duration) {
    sleep(*backoff);
    *backoff = (*backoff * 2).min(BACKOFF_MAX);
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// An accepted connection. The fields are dropped in this order: the permit is held until the
/// connection is closed.
struct Connection<S, A> {
    client: S,
    addr: A,
    _permit: SemaphoreGuard,
}

impl<S: Stream, A: Debug> Connection<S, A> {
    /// Performs the handshake, and runs the handler.
    fn handle<R: HandlerResult>(mut self, handler: &impl Fn(S, A) -> R) -> io::Result<()> {
        if let Err(source) = self.client.handshake() {
            let peer = format!("{:?}", self.addr);
            return Err(io::Error::new(
                source.kind(),
                HandshakeError { peer, source },
            ));
        }
        let result = handler(self.client, self.addr).into_result();
        result.map_err(into_io_error)
    }
}

/// The error of a handshake, with the address of the peer.
#[derive(Debug)]
struct HandshakeError {
    peer: String,
    source: io::Error,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.peer, self.source)
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Returns an I/O error as it is, and wraps any other error in one.
fn into_io_error(error: Box<dyn Error + Send + Sync>) -> io::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(other) => io::Error::other(other),
    }
}
