//! `ServerBuilder`: the settings of a server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use evy_net::Listener;
use http::{HeaderValue, Request};

use super::access_log::{AccessLog, TrustedProxies};
use super::report::OnError;
use super::{IntoResponse, Peer, Server};
use crate::body::Body;
use crate::limits::MAX_HEADERS;

/// Configures a [`Server`]. Returned by [`Server::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerBuilder(pub(super) Server);

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
    /// default is 2 MiB. [`Body::limit`] lowers it for one request.
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.0.settings.limits.body = bytes;
        self
    }

    /// Sets how long a head may take, from its first byte; for the first head of a connection, from
    /// the start. Beyond that the response is 408. The default is 10 seconds.
    ///
    /// It is also the limit for the handshake of the transport.
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.0.settings.head_timeout = timeout;
        self
    }

    /// Sets how long a connection may wait for another request. The default is 60 seconds. Zero
    /// means that a connection serves one request only.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.0.settings.idle_timeout = timeout;
        self
    }

    /// Sets how long one read of a body or one write may take. The default is 30 seconds.
    ///
    /// Beyond that, a request is answered with 408, and a response is cut off.
    pub fn io_timeout(mut self, timeout: Duration) -> Self {
        self.0.settings.io_timeout = timeout;
        self
    }

    /// Sets how long the server waits in total for the body of one request, beyond which the
    /// response is 408. `None` means without limit. The default is 10 minutes.
    ///
    /// Only the time that reads of the body take counts.
    pub fn body_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.0.settings.body_timeout = timeout;
        self
    }

    /// Sets the rate that bodies must have on average, in bytes per second. The default is 240. Zero
    /// means without limit.
    ///
    /// A transfer gets [`io_timeout`](Self::io_timeout), and in addition the time that what was
    /// transferred takes at this rate. So a client that sends or receives one byte at a time does
    /// not keep its connection.
    pub fn min_rate(mut self, bytes_per_second: u64) -> Self {
        self.0.settings.min_rate = bytes_per_second;
        self
    }

    /// Sets how many connections are served at a time. The default is 10 000. The limit of
    /// descriptors of the process lowers it, with some left for what handlers open.
    ///
    /// When there are more, the server closes the connection that has been idle for the longest
    /// time. If none is idle, it closes the one that has waited for its head for the longest time.
    /// If all are in the middle of an exchange, further ones wait to be served.
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

    /// Sets the size of the handlers' stacks in bytes, like
    /// [`Builder::stack_size`](evy_runtime::thread::Builder::stack_size). The default is 256 KiB, or
    /// what [`WorkersBuilder::stack_size`](evy_net::WorkersBuilder::stack_size) has set.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::Server;
    ///
    /// // Debug builds of deep parsers and templates need more stack than release builds.
    /// let server = Server::builder().stack_size(1 << 20).build();
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.0.stack_size = Some(bytes);
        self
    }

    /// Sets whether CONNECT requests get to the handler. By default they are answered with 501.
    ///
    /// The handler accepts one with [`Upgrade::response`](crate::Upgrade::response) and a status of
    /// 2xx.
    pub fn allow_connect(mut self, allow: bool) -> Self {
        self.0.settings.allow_connect = allow;
        self
    }

    /// Sets the `Server` header of responses that have none. By default it is not sent.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a valid header value.
    pub fn server_header(mut self, name: &str) -> Self {
        let value = HeaderValue::from_str(name);
        self.0.settings.server_header = Some(value.expect("a valid header value"));
        self
    }

    /// Sets a callback for the errors of requests and of handshakes, and for those that the accept
    /// loop survives. By default they are logged.
    ///
    /// The errors of requests are those of handlers and bodies, and panics. Each begins with the
    /// request line in quotes, and one of a handshake with the address of the peer. The error
    /// itself and its causes follow, and it is the source. A client that is slow, wrong or gone is
    /// not an error. A panic of the callback affects nothing else.
    ///
    /// The default logs by the crate `log`, with the target `evy::http`: errors of requests at the
    /// level `error`, and the others at the level `warn`. Control characters are escaped. A closure
    /// that does nothing turns that off.
    pub fn on_error(mut self, report: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        self.0.on_error = OnError::new(report);
        self
    }

    /// Sets what is done with the record of each request. By default none is made.
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.0.access_log = Some(log);
        self
    }

    /// Sets which peers are proxies whose `X-Forwarded-For` the access log believes. By default none
    /// is, because any client can send that header.
    pub fn trust_proxies(mut self, trust: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Self {
        self.0.trusted_proxies = Some(TrustedProxies(Arc::new(trust)));
        self
    }

    /// Builds the server.
    #[must_use]
    pub fn build(self) -> Server {
        self.0
    }

    /// Builds the server and serves, like [`Server::serve`].
    ///
    /// Parks until the server is stopped, or until the listener fails.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Server::serve`] does.
    pub fn serve<L, H, R>(self, listener: L, handler: H) -> io::Result<()>
    where
        L: Listener<Addr: Send + Sync>,
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse,
    {
        self.0.serve(listener, handler)
    }
}
