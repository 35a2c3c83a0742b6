//! The client: sends requests over connections that it keeps for further requests.
//!
//! - [`builder`] and [`settings`] collect what a program has set.
//! - [`connector`] opens connections to a [`destination`], and [`tls`] secures them. [`idle`] keeps
//!   them.
//! - [`exchange`] sends a request with its [`request_head`], and reads the [`response_head`]. If the
//!   body is not short, it is [sent meanwhile](sending).
//! - [`response_body`] returns a connection that can be used again.
//! - [`redirect`] turns a request into the next one.

mod builder;
mod connection;
mod connector;
mod deadline;
mod destination;
mod exchange;
mod idle;
mod redirect;
mod reference;
mod request_head;
mod response_body;
mod response_ext;
mod response_head;
mod sending;
mod settings;
#[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod tls;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::rc::Rc;

use evy_net::Stream;
use evy_runtime::lowlevel::{StaysOnItsOsThread, charge};
use http::uri::InvalidUri;
use http::{Method, Request, Response, StatusCode, Uri, Version};

use crate::body::Body;
use crate::buffered::BufferedStream;
use crate::decoder::{Decoder, DecoderState, body_framing};
use crate::error::ProtocolError;
use crate::head;
use crate::upgrade::Upgraded;
pub use builder::ClientBuilder;
use connection::Connection;
use connector::AnyConnector;
pub use connector::Connector;
use deadline::Deadline;
pub use destination::Destination;
use exchange::{Answer, ClientStream, Exchange};
use idle::IdleConnections;
use response_body::ResponseBody;
use response_ext::ResponseUri;
pub use response_ext::{ResponseExt, UnexpectedStatus};
use response_head::ExchangeError;
pub use settings::RequestOptions;
use settings::{ExchangeSettings, Settings};
use tls::TlsSettings;

/// Sends a GET request for `url` on a new connection, which is closed after the response. Otherwise
/// like [`Client::get`].
///
/// Parks until the head of the response has arrived.
///
/// # Errors
///
/// Returns an error as [`Client::get`] does.
///
/// # Examples
///
/// ```no_run
/// use evy::http::{self, ResponseExt};
///
/// let response = http::get("http://example.com/")?.error_for_status()?;
/// let page = response.into_body().into_text()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn get(url: &str) -> io::Result<Response<Body>> {
    Client::builder().max_idle_per_host(0).build().get(url)
}

/// An HTTP/1.1 client for `http://` URLs and, with the feature `tls`, for `https://` URLs.
///
/// Cloning a client is cheap. The clones share the idle connections. A client stays on its OS
/// thread.
///
/// Redirects are followed. A response with an error status is no error: see
/// [`ResponseExt::error_for_status`]. Proxies, cookies, authentication and compression are left to
/// other crates.
///
/// Idle connections are closed when the server closes them, sends something, or when their
/// [time is up](ClientBuilder::idle_timeout). They do not keep a deadlock from being reported.
///
/// Only the methods that say so park.
///
/// # Examples
///
/// ```no_run
/// use evy::http::{Client, Request};
/// use std::time::Duration;
///
/// let client = Client::builder().timeout(Duration::from_secs(5)).build();
/// let request = Request::post("http://127.0.0.1:8000/words").body("hello").unwrap();
/// let response = client.request(request)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    owner: PhantomData<*const StaysOnItsOsThread>,
    shared: Rc<Shared>,
}

struct Shared {
    settings: Settings,
    connector: AnyConnector,
    tls: TlsSettings,
    idle: IdleConnections,
}

impl Client {
    /// Creates a client with default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    fn from_parts(settings: Settings, connector: AnyConnector, tls: TlsSettings) -> Self {
        Self {
            owner: PhantomData,
            shared: Rc::new(Shared {
                settings,
                connector,
                tls,
                idle: IdleConnections::default(),
            }),
        }
    }

    /// Sends a GET request for `url`, like [`request`](Self::request).
    ///
    /// Parks until the head of the response has arrived.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if `url` is malformed, and the errors of `request`.
    pub fn get(&self, url: &str) -> io::Result<Response<Body>> {
        charge();
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = parse(url)?;
        self.request(request)
    }

    /// Sends a POST request with `body` to `url`, like [`request`](Self::request).
    ///
    /// It has no `Content-Type`. A request with headers is made by [`Request::post`].
    ///
    /// Parks until the head of the response has arrived.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if `url` is malformed, and the errors of `request`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use evy::http::{Client, ResponseExt};
    ///
    /// let client = Client::new();
    /// client.post("http://127.0.0.1:8000/words", "hello")?.error_for_status()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn post<B: Into<Body>>(&self, url: &str, body: B) -> io::Result<Response<Body>> {
        charge();
        let mut request = Request::new(body.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = parse(url)?;
        self.request(request)
    }

    /// Sends `request` and returns the response. Its body is read from the connection on demand.
    ///
    /// # Bodies
    ///
    /// A body that is longer than 16 KiB, or that is not in memory, is sent by a green thread of its
    /// own, with a stack of [`stack_size`](ClientBuilder::stack_size), while the response is read. A
    /// response that comes before the whole request was sent is returned at once. After a success,
    /// what is left is sent while the program reads the response; otherwise it is not sent.
    ///
    /// A request with `Expect: 100-continue` waits for the answer of the server before it sends the
    /// body, at most for [`continue_timeout`](ClientBuilder::continue_timeout).
    ///
    /// # Connections
    ///
    /// The connection is kept for another request once the body has been read to its end. The
    /// server may close a kept connection at any time. If one fails before the first byte of a
    /// response, the client sends the request once more on a new connection. It does so only if the
    /// request is idempotent and its body is in memory. A connection on which the server has sent
    /// anything meanwhile is not used again.
    ///
    /// # Headers
    ///
    /// The client sets `Connection`, `Content-Length` and `Transfer-Encoding` itself. It respects
    /// `Connection: close`, the `Content-Length` of a body from a reader, and
    /// `Transfer-Encoding: chunked`. It sets `Host` and `User-Agent` unless the request has them.
    ///
    /// # Redirects
    ///
    /// Redirects are followed, up to [`max_redirects`](ClientBuilder::max_redirects).
    ///
    /// - After 303, and after 301 and 302 for a POST, the method becomes GET, and the body is
    ///   dropped. In the other cases the body is sent again. If it is not in memory, the redirect is
    ///   returned instead.
    /// - Another origin does not get the headers `Authorization`, `Cookie` and
    ///   `Proxy-Authorization`.
    /// - [`ResponseExt::uri`] returns the last URL.
    ///
    /// # Upgrades
    ///
    /// A request with the header `Upgrade` asks for an upgrade; the client adds
    /// `Connection: upgrade`. If the server agrees, the response has the status 101, and
    /// [`Upgrade::of`](crate::Upgrade::of) returns the connection.
    ///
    /// Parks until the head of the response has arrived.
    ///
    /// # Errors
    ///
    /// Returns one of these errors:
    ///
    /// - `Unsupported` if the scheme is neither `http` nor `https`, if it is `https` and the feature
    ///   `tls` is off, or if the method is CONNECT.
    /// - `InvalidInput` if the URL is incomplete or contains a user name, if its port is malformed
    ///   or not below 65536, or if a header contradicts the body or another one.
    /// - `TimedOut` if a timeout passes.
    /// - `UnexpectedEof` if the server closes the connection too early.
    /// - `InvalidData` if the response is malformed or exceeds a limit. The message names the
    ///   limit.
    /// - `PermissionDenied` for a redirect from `https` to `http`, and an error if there are too
    ///   many redirects.
    /// - The error of name resolution, of the socket, of the handshake of TLS, or of the request's
    ///   body. If connecting fails, the message names the host and the port.
    ///
    /// # Panics
    ///
    /// Panics if the body of the request panics. With `panic = "abort"` that ends the process.
    pub fn request<B: Into<Body>>(&self, request: Request<B>) -> io::Result<Response<Body>> {
        charge();
        let settings = &self.shared.settings;
        let mut request = request.map(Into::into);
        let exchange = settings.exchange.for_request(request.extensions());
        let deadline = Deadline::after(exchange.timeout);
        // Sending leaves a body in memory as it is.
        let can_resend = request.body().is_in_memory();
        let mut redirects = 0;
        loop {
            let response = self.send(&mut request, &exchange, deadline)?;
            let allows_http = settings.allows_redirects_to_http;
            if exchange.max_redirects == 0
                || !redirect::follow(&response, &mut request, can_resend, allows_http)?
            {
                return Ok(response);
            }
            if redirects == exchange.max_redirects {
                let message = format!("there are more than {redirects} redirects");
                return Err(io::Error::other(message));
            }
            redirects += 1;
            redirect::discard(response.into_body());
        }
    }

    /// Sends one request, without following redirects.
    fn send(
        &self,
        request: &mut Request<Body>,
        settings: &ExchangeSettings,
        deadline: Deadline,
    ) -> io::Result<Response<Body>> {
        let peer = Destination::of(request.uri())?;
        let framing = request_head::check(request)?;
        let may_repeat = request.method().is_idempotent() && request.body().is_in_memory();
        let exchange = Exchange::new(&self.shared.settings, settings, deadline);
        if let Some(stream) = self.shared.idle.take(&peer) {
            match exchange.run(stream, request, framing) {
                Err(error) if may_repeat && error.is_stale_connection() => {}
                answer => return self.attach_body(answer, &peer, request),
            }
        }
        let stream = self
            .shared
            .connect(&peer, deadline.or_after(settings.connect_timeout))?;
        let stream = Box::new(BufferedStream::new(stream, deadline.io()));
        let answer = exchange.run(stream, request, framing);
        self.attach_body(answer, &peer, request)
    }

    /// Returns the response with its body.
    fn attach_body(
        &self,
        answer: Result<Answer, ExchangeError>,
        peer: &Destination,
        request: &Request<Body>,
    ) -> io::Result<Response<Body>> {
        let Answer {
            mut response,
            stream,
            sending,
            is_request_whole,
        } = answer.map_err(|failed| failed.error)?;
        let uri = ResponseUri(request.uri().clone());
        response.extensions_mut().insert(uri);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !is_request_whole {
                // The server would take what follows for the rest of the request.
                let message = "the server switched protocols before it had the whole request";
                return Err(ProtocolError::malformed(message).into());
            }
            let upgraded = upgraded(stream)?;
            return Ok(response.map(|()| Body::upgraded(upgraded)));
        }
        let (version, headers) = (response.version(), response.headers());
        let declared = body_framing(headers, version)?;
        let state = match response.status() {
            _ if request.method() == Method::HEAD => DecoderState::Length(0),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => DecoderState::Length(0),
            _ => declared.unwrap_or(DecoderState::UntilClose),
        };
        let keep_alive = is_request_whole
            && state != DecoderState::UntilClose
            && head::keeps_alive(headers, version)
            && head::keeps_alive(request.headers(), Version::HTTP_11);
        let mut reader = ResponseBody {
            stream: Some(stream),
            decoder: Decoder::new(state, self.shared.settings.limits.body)?,
            sending,
            return_to: keep_alive.then(|| (Rc::downgrade(&self.shared), peer.clone())),
        };
        if reader.decoder.is_done() && reader.sending.is_none() {
            reader.return_connection();
            return Ok(response.map(|()| Body::empty()));
        }
        let length = reader.decoder.length();
        Ok(response.map(|()| Body::from_source(reader, length)))
    }
}

fn parse(url: &str) -> io::Result<Uri> {
    url.parse().map_err(|error: InvalidUri| {
        let message = format!("'{url}' is not a valid URL: {error}");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

/// Hands over a connection, with what was read ahead.
fn upgraded(stream: ClientStream) -> io::Result<Upgraded> {
    let (connection, read_ahead) = stream.into_parts();
    connection.set_read_timeout(None)?;
    connection.set_write_timeout(None)?;
    Ok(Upgraded::from_boxed(connection.into_stream(), read_ahead))
}

impl Shared {
    /// Opens a connection, with TLS if the scheme is `https`.
    fn connect(&self, peer: &Destination, deadline: Deadline) -> io::Result<Connection> {
        let connection = (self.connector)(peer, deadline.remaining()?)?;
        if !peer.is_https() {
            return Ok(connection);
        }
        tls::secure(&self.tls, peer.host(), connection, deadline.remaining()?)
    }

    /// Keeps a connection for another request.
    fn keep(&self, peer: Destination, stream: ClientStream) {
        let (max, timeout) = (self.settings.max_idle_per_host, self.settings.idle_timeout);
        self.idle.put(peer, stream, max, timeout);
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client")
            .field(&self.shared.settings)
            .finish()
    }
}
