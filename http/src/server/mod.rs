//! The server: its choices, and the accept loop.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response, StatusCode};

use super::body::Body;
use super::connection::{DateCache, serve_connection};
use super::head::{Limits, MAX_HEADERS};
use crate::serve::Server as AcceptLoop;
use crate::tcp::TcpListener;

/// What a handler may return: a response, or a result with one. An error becomes 500.
pub trait IntoResponse {
    /// The response to send. Never parks.
    ///
    /// # Errors
    ///
    /// What the handler failed with.
    fn into_response(self) -> io::Result<Response<Body>>;
}

impl<B: Into<Body>> IntoResponse for Response<B> {
    fn into_response(self) -> io::Result<Response<Body>> {
        Ok(self.map(Into::into))
    }
}

impl<R: IntoResponse> IntoResponse for io::Result<R> {
    fn into_response(self) -> io::Result<Response<Body>> {
        self?.into_response()
    }
}

/// A response without a body.
pub(super) fn empty_response(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Serves for ever, each connection on a green thread of its own. As [`Server::serve`] with the
/// defaults.
///
/// # Errors
///
/// As [`Server::serve`].
///
/// # Examples
///
/// ```no_run
/// use evy_net::http::{self, Response};
///
/// let listener = evy_net::listen("127.0.0.1:8000")?;
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
/// use evy_net::http::Server;
/// use std::time::Duration;
///
/// let server = Server::builder()
///     .max_body_bytes(10_000)
///     .idle_timeout(Duration::from_secs(5))
///     .build();
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    pub(super) limits: Limits,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) io_timeout: Duration,
    max_connections: usize,
    on_error: Option<OnError>,
}

#[derive(Clone)]
struct OnError(Arc<dyn Fn(&io::Error) + Send + Sync>);

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnError")
    }
}

/// The choices of a [`Server`]. None of its methods parks.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerBuilder(Server);

impl ServerBuilder {
    /// The longest target, beyond which the answer is 414. 8 KiB unless said otherwise.
    pub fn max_target_bytes(mut self, bytes: usize) -> Self {
        self.0.limits.target = Some(bytes);
        self
    }

    /// The longest head, beyond which the answer is 431. 32 KiB unless said otherwise.
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.0.limits.head = bytes;
        self
    }

    /// The most headers, beyond which the answer is 431. 100 unless said otherwise; 256 at most.
    pub fn max_headers(mut self, headers: usize) -> Self {
        self.0.limits.headers = headers.min(MAX_HEADERS);
        self
    }

    /// The longest body, beyond which the answer is 413. 2 MiB unless said otherwise.
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.0.limits.body = bytes;
        self
    }

    /// How long a head may take from its first byte (of a new connection: from the start), beyond
    /// which the answer is 408. 10 s unless said otherwise.
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.0.head_timeout = timeout;
        self
    }

    /// How long a connection may wait for another request. 60 s unless said otherwise.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.0.idle_timeout = timeout;
        self
    }

    /// How long one read of a body or one write may take, beyond which the connection is closed.
    /// 30 s unless said otherwise.
    pub fn io_timeout(mut self, timeout: Duration) -> Self {
        self.0.io_timeout = timeout;
        self
    }

    /// How many connections are served at once; the others wait to be accepted. 1000 unless said
    /// otherwise.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn max_connections(mut self, connections: usize) -> Self {
        assert!(
            connections > 0,
            "a server without connections serves nobody"
        );
        self.0.max_connections = connections;
        self
    }

    /// Tells of the errors that handlers return, and of those that the accept loop survives.
    pub fn on_error(mut self, report: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        self.0.on_error = Some(OnError(Arc::new(report)));
        self
    }

    /// The server.
    #[must_use]
    pub fn build(self) -> Server {
        self.0
    }

    /// As [`Server::serve`]. Parks until the listener fails.
    ///
    /// # Errors
    ///
    /// As [`Server::serve`].
    pub fn serve<H, R>(self, listener: TcpListener, handler: H) -> io::Result<()>
    where
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse,
    {
        self.0.serve(listener, handler)
    }
}

impl Server {
    /// Choices to make. Never parks.
    pub fn builder() -> ServerBuilder {
        ServerBuilder(Self::default())
    }

    /// Accepts for ever and answers each request with what `handler` returns. Parks until the
    /// listener fails.
    ///
    /// - A body that the handler does not read is read up to 64 KiB; beyond, the connection closes.
    /// - `Expect: 100-continue` is answered when the body is first read.
    /// - A request whose body turns out broken or too long as it is read is answered 400 or 413,
    ///   whatever the handler returns.
    /// - The server decides about `Content-Length`, `Transfer-Encoding` and `Connection`, with two
    ///   exceptions: `Connection: close` is heeded, and so is the `Content-Length` of a body from a
    ///   reader or of an answer to HEAD.
    /// - A body that fails while it is sent cuts the connection, so that the client can tell. A
    ///   panic of the handler closes its connection and costs nobody else anything.
    ///
    /// # Errors
    ///
    /// Those of the listener that do not pass. A client that gives up is no error; out of
    /// descriptors or memory, the loop pauses and tries again.
    pub fn serve<H, R>(&self, listener: TcpListener, handler: H) -> io::Result<()>
    where
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse,
    {
        let mut accepting = AcceptLoop::new().max_connections(self.max_connections);
        if let Some(OnError(report)) = &self.on_error {
            let report = Arc::clone(report);
            accepting = accepting.on_error(move |error| report(error));
        }
        let (server, dates) = (self.clone(), DateCache::default());
        accepting.serve(listener, move |stream, _addr| {
            stream.set_nodelay(true).ok();
            // Whatever ends a connection ends this one only.
            serve_connection(stream, &server, &dates, |request| {
                server.answer(&handler, request)
            })
            .ok();
        })
    }

    /// The handler's response, or the one that says that there is none.
    pub(super) fn answer<H, R>(&self, handler: &H, request: Request<Body>) -> Response<Body>
    where
        H: Fn(Request<Body>) -> R,
        R: IntoResponse,
    {
        handler(request).into_response().unwrap_or_else(|error| {
            if let Some(OnError(report)) = &self.on_error {
                report(&error);
            }
            empty_response(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            limits: Limits {
                target: Some(8 * 1024),
                head: 32 * 1024,
                headers: 100,
                body: 2 * 1024 * 1024,
            },
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            io_timeout: Duration::from_secs(30),
            max_connections: 1000,
            on_error: None,
        }
    }
}
