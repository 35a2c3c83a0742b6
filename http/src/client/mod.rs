//! The client: sends requests over connections that it keeps for further requests.

mod connection;
mod connector;
mod deadline;
mod destination;
mod idle;
mod response_ext;
#[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod tls;

use std::fmt;
use std::io::{self, Read};
use std::rc::{Rc, Weak};
use std::time::Duration;

use evy_net::Stream;
use evy_runtime::lowlevel::charge;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use crate::body::{Body, BodyFraming};
use crate::buffered::{BufferedStream, unexpected_eof};
use crate::decoder::{Decoder, DecoderState, body_framing};
use crate::error::ProtocolError;
use crate::head::{self, content_length};
use crate::limits::{Limits, MAX_HEADERS};
use connection::Connection;
use connector::BoxConnector;
pub use connector::Connector;
use deadline::Deadline;
pub use destination::Destination;
use idle::{IdleConnections, is_reusable};
use response_ext::ResponseUri;
pub use response_ext::{ResponseExt, UnexpectedStatus};
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
/// let response = evy::http::get("http://example.com/")?;
/// assert!(response.status().is_success());
/// let page = response.into_body().into_text()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn get(url: &str) -> io::Result<Response<Body>> {
    Client::builder().max_idle_per_host(0).build().get(url)
}

/// An HTTP/1.1 client for `http://` URLs and, with the feature `tls`, for `https://` URLs.
///
/// Cloning a client is cheap. The clones share the idle connections.
///
/// Redirects are not followed. They are returned like any other response.
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
pub struct Client(Rc<Shared>);

struct Shared {
    connector: BoxConnector,
    tls: TlsSettings,
    settings: Settings,
    idle: IdleConnections,
}

#[derive(Clone, Debug)]
struct Settings {
    limits: Limits,
    connect_timeout: Duration,
    timeout: Duration,
    max_idle_per_host: usize,
}

/// Configures a [`Client`]. Returned by [`Client::builder`].
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
    connector: BoxConnector,
    tls: TlsSettings,
}

impl ClientBuilder {
    /// Sets how long connecting may take. The default is 10 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sets how long an exchange may take, from connecting to the last byte of the response's body.
    /// The default is 60 seconds.
    ///
    /// Bytes that keep arriving slowly do not extend this time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets the maximum length of a response's head in bytes. The default is 64 KiB.
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.head = bytes;
        self
    }

    /// Sets the maximum number of headers of a response. The default is 100. At most 256 are
    /// supported.
    pub fn max_headers(mut self, headers: usize) -> Self {
        self.settings.limits.headers = headers.min(MAX_HEADERS);
        self
    }

    /// Sets the maximum length of a response's body in bytes. The default is 64 MiB.
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.settings.limits.body = bytes;
        self
    }

    /// Sets how many idle connections to one host are kept. The default is 8.
    ///
    /// With zero, each request carries `Connection: close`, so that the server expects no further
    /// request.
    pub fn max_idle_per_host(mut self, connections: usize) -> Self {
        self.settings.max_idle_per_host = connections;
        self
    }

    /// Sets how the client connects, to something else than TCP. For a URL with `https`, the client
    /// adds TLS by itself.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = connector::boxed(connector);
        self
    }

    /// Sets the connector that adds TLS to connections, for example one with other roots. The
    /// default is [`evy_tls::Connector::new`].
    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    pub fn tls(mut self, connector: evy_tls::Connector) -> Self {
        self.tls = Some(connector);
        self
    }

    /// Builds the client.
    #[must_use]
    pub fn build(self) -> Client {
        Client(Rc::new(Shared {
            settings: self.settings,
            connector: self.connector,
            tls: self.tls,
            idle: IdleConnections::default(),
        }))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientBuilder")
            .field(&self.settings)
            .finish()
    }
}

impl Client {
    /// Creates a client with default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a client.
    pub fn builder() -> ClientBuilder {
        let settings = Settings {
            limits: Limits {
                target: None,
                head: 64 * 1024,
                headers: 100,
                body: 64 * 1024 * 1024,
            },
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            max_idle_per_host: 8,
        };
        ClientBuilder {
            settings,
            connector: connector::tcp(),
            tls: TlsSettings::default(),
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
        let uri = url.parse::<Uri>().map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("'{url}' is not a valid URL: {error}"),
            )
        })?;
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        self.request(request)
    }

    /// Sends `request` and returns the response. Its body is read from the connection on demand.
    ///
    /// The connection is kept for another request once the body has been read to its end. The
    /// server may close a kept connection at any time. If one fails before the first byte of a
    /// response, the client sends the request once more on a new connection. It does so only if the
    /// request is idempotent and its body is in memory.
    ///
    /// The client sets `Content-Length`, `Transfer-Encoding` and `Connection` itself, with two
    /// exceptions: it respects `Connection: close`, and the `Content-Length` of a body from a
    /// reader. It sets `Host` unless the request has one.
    ///
    /// Parks until the request has been sent and the head of the response has arrived.
    ///
    /// # Errors
    ///
    /// Returns one of these errors:
    ///
    /// - `Unsupported` if the scheme is neither `http` nor `https`, if it is `https` and the feature
    ///   `tls` is off, or if the method is CONNECT.
    /// - `InvalidInput` if the URL is incomplete or contains a user name, or if its port is
    ///   malformed or not below 65536.
    /// - `TimedOut` if a timeout passes.
    /// - `UnexpectedEof` if the server closes the connection too early.
    /// - `InvalidData` if the response is malformed or exceeds a limit. The message names the
    ///   limit.
    /// - The error of name resolution, of the socket, or of the request's body.
    pub fn request<B: Into<Body>>(&self, request: Request<B>) -> io::Result<Response<Body>> {
        charge();
        let settings = &self.0.settings;
        let deadline = Deadline::after(settings.timeout);
        let mut request = request.map(Into::into);
        let peer = Destination::of(request.uri())?;
        reject_connect_method(request.method())?;
        let may_repeat = request.method().is_idempotent() && request.body().is_in_memory();
        if let Some(mut stream) = self.0.idle.take(&peer) {
            stream.deadline = deadline.io();
            if is_reusable(&mut stream) {
                match self.exchange(&mut stream, &mut request) {
                    Err(error) if may_repeat && error.is_stale_connection() => {}
                    response => {
                        let response = response.map_err(|error| error.error)?;
                        return self.attach_body(response, stream, &peer, &request);
                    }
                }
            }
        }
        let stream = self.connect(&peer, deadline)?;
        let mut stream = Box::new(BufferedStream::new(stream, deadline.io()));
        let response = self.exchange(&mut stream, &mut request);
        let response = response.map_err(|error| error.error)?;
        self.attach_body(response, stream, &peer, &request)
    }

    /// Opens a connection, with TLS if the scheme is `https`.
    fn connect(&self, peer: &Destination, deadline: Deadline) -> io::Result<Connection> {
        let limit = deadline.or_after(self.0.settings.connect_timeout);
        let connection = (self.0.connector)(peer, limit.remaining()?)?;
        if !peer.is_https() {
            return Ok(connection);
        }
        tls::secure(&self.0.tls, peer.host(), connection, limit.remaining()?)
    }

    /// Sends the request and reads the head of the final response.
    fn exchange<S: Stream>(
        &self,
        stream: &mut BufferedStream<S>,
        request: &mut Request<Body>,
    ) -> Result<Response<()>, ExchangeError> {
        let settings = &self.0.settings;
        let mut out = Vec::with_capacity(512);
        let keep_alive = settings.max_idle_per_host > 0;
        let framing = write_head(&mut out, request, keep_alive).map_err(ExchangeError::sending)?;
        let mut is_closed = false;
        let sent = request.body_mut().send(&mut out, framing, |bytes| {
            let written = stream.write_all(bytes);
            written.inspect_err(|error| is_closed = is_connection_closed(error))
        });
        let Err(error) = sent else {
            return read_head(stream, &settings.limits);
        };
        let mut error = ExchangeError::sending(error);
        if is_closed {
            // A server that needs no more of the request may respond and close the connection, so
            // there may be a response nevertheless.
            match read_head(stream, &settings.limits) {
                Ok(mut response) => {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                    return Ok(response);
                }
                Err(reading) => error.has_response_bytes = reading.has_response_bytes,
            }
        }
        Err(error)
    }

    /// Returns the response with its body. When the body has been read to its end, it returns the
    /// connection to the client.
    fn attach_body(
        &self,
        response: Response<()>,
        stream: Box<BufferedStream<Connection>>,
        peer: &Destination,
        request: &Request<Body>,
    ) -> io::Result<Response<Body>> {
        let mut response = response;
        let uri = ResponseUri(request.uri().clone());
        response.extensions_mut().insert(uri);
        let (version, headers) = (response.version(), response.headers());
        let declared = body_framing(headers, version)?;
        let state = match response.status() {
            _ if request.method() == Method::HEAD => DecoderState::Length(0),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => DecoderState::Length(0),
            _ => declared.unwrap_or(DecoderState::UntilClose),
        };
        let keep_alive = state != DecoderState::UntilClose
            && head::keeps_alive(headers, version)
            && head::keeps_alive(request.headers(), Version::HTTP_11);
        let return_to = keep_alive.then(|| (Rc::downgrade(&self.0), peer.clone()));
        let decoder = Decoder::new(state, self.0.settings.limits.body)?;
        let mut reader = ResponseBody {
            stream: Some(stream),
            decoder,
            return_to,
        };
        if reader.decoder.is_done() {
            reader.return_connection();
            return Ok(response.map(|()| Body::empty()));
        }
        let length = reader.decoder.length();
        Ok(response.map(|()| Body::received(reader, length)))
    }
}

/// The failure of an exchange: the error, and whether any part of the response had arrived.
struct ExchangeError {
    error: io::Error,
    has_response_bytes: bool,
}

impl ExchangeError {
    fn sending(error: io::Error) -> Self {
        Self {
            error,
            has_response_bytes: false,
        }
    }

    /// Whether the connection was closed without a response, as if the server had closed it before
    /// it saw the request.
    fn is_stale_connection(&self) -> bool {
        !self.has_response_bytes && is_connection_closed(&self.error)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.settings).finish()
    }
}

/// The body of a response. When it has been read to its end, it returns the connection to the
/// client.
struct ResponseBody {
    stream: Option<Box<BufferedStream<Connection>>>,
    decoder: Decoder,
    return_to: Option<(Weak<Shared>, Destination)>,
}

impl ResponseBody {
    fn return_connection(&mut self) {
        let (Some(stream), Some((shared, peer))) = (self.stream.take(), self.return_to.take())
        else {
            return;
        };
        // Unsolicited bytes would be parsed as the next response, so such a connection is not
        // reused.
        if let (Some(shared), true) = (shared.upgrade(), stream.buffered().is_empty()) {
            shared
                .idle
                .put(peer, stream, shared.settings.max_idle_per_host);
        }
    }
}

impl Read for ResponseBody {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else {
            return Ok(0);
        };
        let read = self.decoder.read(stream, buf)?;
        if self.decoder.is_done() {
            self.return_connection();
        }
        Ok(read)
    }
}

/// Whether the error means that the peer has closed the connection, rather than that it is slow or
/// has sent malformed data.
fn is_connection_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn reject_connect_method(method: &Method) -> io::Result<()> {
    if method == Method::CONNECT {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the client does not support CONNECT",
        ));
    }
    Ok(())
}

/// Appends the head of a request to `out`. Returns how the body is framed.
fn write_head(out: &mut Vec<u8>, request: &Request<Body>, keep: bool) -> io::Result<BodyFraming> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let method_expects_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    let framing = match request.body().length() {
        Some(0) if !method_expects_body => BodyFraming::Nothing,
        length => match length.map_or_else(|| content_length(headers), |n| Ok(Some(n)))? {
            Some(length) => BodyFraming::Length(length),
            None => BodyFraming::Chunked,
        },
    };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    if !target.starts_with('/') && target != "*" {
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !headers.contains_key(HOST) {
        out.extend_from_slice(b"host: ");
        out.extend_from_slice(
            uri.authority()
                .map_or("", |authority| authority.as_str())
                .as_bytes(),
        );
        out.extend_from_slice(b"\r\n");
    }
    framing.write_header(out);
    if !keep || !head::keeps_alive(headers, Version::HTTP_11) {
        out.extend_from_slice(b"connection: close\r\n");
    }
    head::write_headers(out, headers);
    out.extend_from_slice(b"\r\n");
    Ok(framing)
}

/// Reads the head of the final response, skipping informational ones.
fn read_head<S: Stream>(
    stream: &mut BufferedStream<S>,
    limits: &Limits,
) -> Result<Response<()>, ExchangeError> {
    let mut has_response_bytes = false;
    loop {
        let head = next_head(stream, limits);
        has_response_bytes |= head.is_ok() || !stream.buffered().is_empty();
        match head {
            Ok(response) if response.status().is_informational() => {}
            head => {
                return head.map_err(|error| ExchangeError {
                    error,
                    has_response_bytes,
                });
            }
        }
    }
}

fn next_head<S: Stream>(
    stream: &mut BufferedStream<S>,
    limits: &Limits,
) -> io::Result<Response<()>> {
    let length = stream.head(limits)?.ok_or_else(unexpected_eof)?;
    let response = head::parse_response(&stream.buffered()[..length], limits)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let message = "the server switched protocols without a request to do so";
        return Err(ProtocolError::malformed(message).into());
    }
    stream.consume(length);
    Ok(response)
}
