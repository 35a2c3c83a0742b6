//! `serve`: an accept loop that survives, with a limit to how many are served at once.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use evy_runtime::Semaphore;
use evy_runtime::lowlevel::{WaitQueue, WaitReason};
use evy_runtime::{scope, sleep, spawn_n};

use crate::tcp::{TcpListener, TcpStream};

/// Clients served at once unless said otherwise.
const MAX_CONNECTIONS: usize = 1000;

/// The first and the longest pause after an error that says "not now".
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What a handler may return: nothing, or a result whose error ends the server.
pub trait HandlerResult {
    /// The error, if there is one.
    ///
    /// # Errors
    ///
    /// What the handler failed with.
    fn into_result(self) -> io::Result<()>;
}

impl HandlerResult for () {
    fn into_result(self) -> io::Result<()> {
        Ok(())
    }
}

impl<E: Into<io::Error>> HandlerResult for Result<(), E> {
    fn into_result(self) -> io::Result<()> {
        self.map_err(Into::into)
    }
}

/// Accepts for ever and runs `handler` for each client on a green thread of its own, 1000 at most at
/// once. As [`Server::serve`] with the defaults.
///
/// # Errors
///
/// As [`Server::serve`].
///
/// # Examples
///
/// ```no_run
/// use std::io::Write;
///
/// let server = evy_net::listen("127.0.0.1:6000")?;
/// evy_net::serve(server, |mut client, _addr| {
///     client.write_all(b"hello\n").ok();
/// })
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub fn serve<H, O>(listener: TcpListener, handler: H) -> io::Result<()>
where
    H: Fn(TcpStream, SocketAddr) -> O + 'static,
    O: HandlerResult,
{
    Server::new().serve(listener, handler)
}

/// An accept loop with choices.
#[derive(Debug)]
pub struct Server {
    max_connections: usize,
    on_error: Option<OnError>,
    state: Rc<ServerState>,
}

struct OnError(Box<dyn Fn(&io::Error)>);

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnError")
    }
}

/// What the loop, its handlers and its handles share.
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

/// Stops a [`Server`] from another green thread. Keeps nothing alive.
#[derive(Clone, Debug)]
pub struct ServerHandle(Weak<ServerState>);

impl ServerHandle {
    /// Has `serve` return. Clients that are being served go on to their end. Never parks.
    pub fn stop(&self) {
        if let Some(state) = self.0.upgrade() {
            state.stop(None);
        }
    }
}

impl Server {
    /// 1000 clients at once. Never parks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            on_error: None,
            state: Rc::default(),
        }
    }

    /// How many clients are served at once; the others wait to be accepted.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn max_connections(mut self, clients: usize) -> Self {
        assert!(
            clients > 0,
            "a server that serves nobody at once serves nobody"
        );
        self.max_connections = clients;
        self
    }

    /// Tells of errors that the loop survives: no descriptors or no memory for another client.
    #[must_use]
    pub fn on_error(mut self, report: impl Fn(&io::Error) + 'static) -> Self {
        self.on_error = Some(OnError(Box::new(report)));
        self
    }

    /// The means to stop it. Never parks.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Rc::downgrade(&self.state))
    }

    /// Accepts and serves. Parks until a handle stops it, or it fails.
    ///
    /// A client's connection is closed when its handler returns, fails or panics. A panic is
    /// reported and costs nobody else anything. Where descriptors or memory run out, the loop pauses
    /// and tries again: the client waits meanwhile.
    ///
    /// # Errors
    ///
    /// The error of a handler, and those of the listener that do not pass.
    pub fn serve<H, O>(self, listener: TcpListener, handler: H) -> io::Result<()>
    where
        H: Fn(TcpStream, SocketAddr) -> O + 'static,
        O: HandlerResult,
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

    /// Returns only with an error that does not pass.
    fn accept<H, O>(&self, listener: &TcpListener, handler: Rc<H>) -> io::Error
    where
        H: Fn(TcpStream, SocketAddr) -> O + 'static,
        O: HandlerResult,
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
            let (handler, state) = (Rc::clone(&handler), Rc::clone(&self.state));
            spawn_n(move || {
                let _permit = permit;
                if let Err(error) = handler(client, addr).into_result() {
                    state.stop(Some(error));
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

/// Whether there may be room again later.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)
    )
}
