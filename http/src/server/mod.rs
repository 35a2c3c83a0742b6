//! The server: its settings, and the accept loop.

mod connection;
mod date_cache;
mod into_response;
mod settings;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use evy_net::TcpListener;
use evy_runtime::lowlevel::contain_panic;
use http::{Request, Response, StatusCode};

pub use into_response::IntoResponse;

use crate::body::Body;
use crate::limits::MAX_HEADERS;
use connection::serve_connection;
use date_cache::DateCache;
use into_response::empty_response;
use settings::Settings;

/// Serves HTTP on `listener`, each connection on a green thread of its own. The same as
/// [`Server::serve`] with default settings.
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
/// use evy::http::{self, Response};
///
/// let listener = evy::listen("127.0.0.1:8000")?;
/// http::serve(listener, |request| Response::new(format!("you asked for {}\n", request.uri())))
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub fn serve<H, R>(listener: TcpListener, handler: H) -> io::Result<()>
where
    H: Fn(Request<Body>) -> R + 'static,
    R: IntoResponse,
{
    Server::default().serve(listener, handler)
}

/// An HTTP/1.1 server, which also understands HTTP/1.0.
///
/// # Examples
///
/// ```
/// use evy::http::Server;
/// use std::time::Duration;
///
/// let server = Server::builder()
///     .max_body_bytes(10_000)
///     .idle_timeout(Duration::from_secs(5))
///     .build();
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    settings: Settings,
    max_connections: usize,
    on_error: Option<OnError>,
}

#[derive(Clone)]
struct OnError(Arc<dyn Fn(&io::Error) + Send + Sync>);

impl OnError {
    /// Calls the callback. If it panics, the panic hook reports that, and nothing else is affected.
    fn report(&self, error: &io::Error) {
        contain_panic(|| (self.0)(error));
    }
}

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnError")
    }
}

/// Configures a [`Server`]. Returned by [`Server::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerBuilder(Server);

impl ServerBuilder {
    /// Sets the maximum length of a request's target in bytes, beyond which the response is 414.
    /// The default is 8 KiB.
    pub fn max_target_bytes(mut self, bytes: usize) -> Self {
        self.0.settings.limits.target = Some(bytes);
        self
    }

    /// Sets the maximum length of a request's head in bytes, beyond which the response is 431. The
    /// default is 32 KiB.
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.0.settings.limits.head = bytes;
        self
    }

    /// Sets the maximum number of headers, beyond which the response is 431. The default is 100. At
    /// most 256 are supported.
    pub fn max_headers(mut self, headers: usize) -> Self {
        self.0.settings.limits.headers = headers.min(MAX_HEADERS);
        self
    }

    /// Sets the maximum length of a request's body in bytes, beyond which the response is 413. The
    /// default is 2 MiB.
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.0.settings.limits.body = bytes;
        self
    }

    /// Sets how long a head may take, from its first byte; for the first head of a connection, from
    /// the start. Beyond that the response is 408. The default is 10 seconds.
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.0.settings.head_timeout = timeout;
        self
    }

    /// Sets how long a connection may wait for another request. The default is 60 seconds.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.0.settings.idle_timeout = timeout;
        self
    }

    /// Sets how long one read of a body or one write may take, beyond which the connection is
    /// closed. The default is 30 seconds.
    pub fn io_timeout(mut self, timeout: Duration) -> Self {
        self.0.settings.io_timeout = timeout;
        self
    }

    /// Sets how many connections are served at a time; further ones wait to be accepted. The
    /// default is 1000.
    ///
    /// # Panics
    ///
    /// Panics if `connections` is zero.
    pub fn max_connections(mut self, connections: usize) -> Self {
        assert!(
            connections > 0,
            "a server must allow at least one connection"
        );
        self.0.max_connections = connections;
        self
    }

    /// Sets a callback for handler errors and for errors that the accept loop survives. A panic of
    /// it affects nothing else.
    pub fn on_error(mut self, report: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        self.0.on_error = Some(OnError(Arc::new(report)));
        self
    }

    /// Builds the server.
    #[must_use]
    pub fn build(self) -> Server {
        self.0
    }

    /// Builds the server and serves, like [`Server::serve`].
    ///
    /// Parks until the listener fails.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Server::serve`] does.
    pub fn serve<H, R>(self, listener: TcpListener, handler: H) -> io::Result<()>
    where
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse,
    {
        self.0.serve(listener, handler)
    }
}

impl Server {
    /// Returns a builder for a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder(Self::default())
    }

    /// Accepts connections and answers each request with what `handler` returns.
    ///
    /// - A body that the handler does not read is skipped, up to 64 KiB; beyond that, the
    ///   connection is closed.
    /// - `Expect: 100-continue` is answered when the body is first read.
    /// - The body may turn out to be malformed or too long while it is read. Then the request is
    ///   answered with 400 or 413, whatever the handler returns.
    /// - The server sets `Content-Length`, `Transfer-Encoding` and `Connection` itself. It respects
    ///   `Connection: close`. It also respects the `Content-Length` of a body from a reader, and of
    ///   a response to HEAD.
    /// - If a body fails while it is sent, the connection is cut, so that the client notices. A
    ///   panic of the handler closes its connection and affects no other one.
    ///
    /// Parks until the listener fails.
    ///
    /// # Errors
    ///
    /// Returns an error of the listener that is not transient. A client that gives up is not an
    /// error. If descriptors or memory run out, the server pauses and retries.
    pub fn serve<H, R>(&self, listener: TcpListener, handler: H) -> io::Result<()>
    where
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse,
    {
        let mut accept_loop = evy_net::Server::new().max_connections(self.max_connections);
        if let Some(on_error) = self.on_error.clone() {
            accept_loop = accept_loop.on_error(move |error| on_error.report(error));
        }
        let (server, dates) = (self.clone(), DateCache::default());
        accept_loop.serve(listener, move |stream, _addr| {
            stream.set_nodelay(true).ok();
            let answer = |request| server.answer(&handler, request);
            // An error ends this connection only.
            serve_connection(stream, &server.settings, &dates, answer).ok();
        })
    }

    /// Returns the response of the handler, or 500 for its error.
    fn answer<H, R>(&self, handler: &H, request: Request<Body>) -> Response<Body>
    where
        H: Fn(Request<Body>) -> R,
        R: IntoResponse,
    {
        handler(request).into_response().unwrap_or_else(|error| {
            if let Some(on_error) = &self.on_error {
                on_error.report(&into_io_error(error));
            }
            empty_response(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            max_connections: 1000,
            on_error: None,
        }
    }
}

/// Returns an I/O error as it is, and wraps any other error in one.
fn into_io_error(error: Box<dyn Error + Send + Sync>) -> io::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(other) => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests;
