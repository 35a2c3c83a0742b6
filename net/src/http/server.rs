//! The server: one green thread a connection, one request after the other.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evy_runtime::lowlevel::now;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, EXPECT, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, Request, Response, StatusCode, Version};

use super::body::{Body, Limited};
use super::conn::{Conn, Timed, Transport};
use super::framing::{Framing, announced};
use super::head::{Limits, Refusal, keeps_alive, read_request, write_header};
use crate::serve::Server as AcceptLoop;
use crate::tcp::{TcpListener, TcpStream};

/// An unread request body up to this size is read and thrown away to keep the connection.
const DRAIN: u64 = 64 * 1024;
/// A response up to this size goes out in one write, head and body together.
const ONE_WRITE: usize = 64 * 1024;

/// What a handler may return.
pub trait IntoResponse {
    /// The response, or the error that becomes `500 Internal Server Error`.
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

impl<B: Into<Body>> IntoResponse for io::Result<Response<B>> {
    fn into_response(self) -> io::Result<Response<Body>> {
        Ok(self?.map(Into::into))
    }
}

/// Serves HTTP/1.1 on `listener` for ever, with the defaults of [`Server`].
///
/// # Errors
///
/// Those of the listener that do not pass.
///
/// # Examples
///
/// ```
/// use evy_net::http::{self, Response};
///
/// let listener = evy_net::listen("127.0.0.1:0")?;
/// let url = format!("http://{}/", listener.local_addr()?);
/// evy_runtime::spawn_n(move || {
///     http::serve(listener, |_request| Response::new("hello")).unwrap();
/// });
/// assert_eq!(http::get(&url)?.into_body().into_text()?, "hello");
/// # evy_runtime::shutdown(std::time::Duration::ZERO);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn serve<H, R>(listener: TcpListener, handler: H) -> io::Result<()>
where
    H: Fn(Request<Body>) -> R + 'static,
    R: IntoResponse,
{
    Server::new().serve(listener, handler)
}

/// An HTTP/1.1 server with choices.
///
/// A malformed request gets `400`, too long a target `414`, too large a head `431`, too large a body
/// `413`; the connection is closed then. A handler that panics costs its own connection only.
#[derive(Debug)]
pub struct Server {
    config: Config,
    connections: usize,
    on_error: Option<OnError>,
}

#[derive(Clone, Debug)]
struct Config {
    limits: Limits,
    body: u64,
    head_timeout: Duration,
    idle_timeout: Duration,
}

#[derive(Clone)]
struct OnError(Rc<dyn Fn(&io::Error)>);

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnError")
    }
}

impl Server {
    /// The defaults: a target of 8 KiB, a head of 64 KiB and 100 headers, a body of 16 MiB, 30 s for
    /// a head, 60 s between requests, 1000 connections. Never parks.
    #[must_use]
    pub fn new() -> Self {
        let config = Config {
            limits: Limits::default(),
            body: 16 << 20,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
        };
        Self {
            config,
            connections: 1000,
            on_error: None,
        }
    }

    /// The longest target, in bytes.
    #[must_use]
    pub fn max_target(mut self, bytes: usize) -> Self {
        self.config.limits.target = bytes;
        self
    }

    /// The largest head, in bytes and in headers.
    #[must_use]
    pub fn max_head(mut self, bytes: usize, headers: usize) -> Self {
        (self.config.limits.bytes, self.config.limits.headers) = (bytes, headers);
        self
    }

    /// The largest request body, in bytes.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.config.body = bytes;
        self
    }

    /// How long a head may take from its first byte on.
    #[must_use]
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.config.head_timeout = timeout;
        self
    }

    /// How long a connection may be silent between requests.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// How many connections are served at once; the others wait to be accepted.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Tells of errors that handlers return, and of those that the accept loop survives.
    #[must_use]
    pub fn on_error(mut self, report: impl Fn(&io::Error) + 'static) -> Self {
        self.on_error = Some(OnError(Rc::new(report)));
        self
    }

    /// Serves for ever. Parks.
    ///
    /// # Errors
    ///
    /// Those of the listener that do not pass.
    pub fn serve<H, R>(self, listener: TcpListener, handler: H) -> io::Result<()>
    where
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse,
    {
        let mut accepting = AcceptLoop::new().concurrency(self.connections.max(1));
        if let Some(OnError(report)) = &self.on_error {
            let report = Rc::clone(report);
            accepting = accepting.on_error(move |error| report(error));
        }
        let shared = Shared {
            config: self.config,
            on_error: self.on_error,
            date: RefCell::new((0, HeaderValue::from_static(""))),
        };
        accepting.serve(listener, move |client: TcpStream, _: SocketAddr| {
            // What a client does wrong ends its connection, and concerns nobody else.
            shared.connection(Timed::new(client), &handler).ok();
        })
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

struct Shared {
    config: Config,
    on_error: Option<OnError>,
    /// The second since 1970 and its text.
    date: RefCell<(u64, HeaderValue)>,
}

/// A connection that its loop and the body of the present request take turns in.
struct Slot<S> {
    conn: Cell<Option<Conn<S>>>,
    framing: Cell<Framing>,
    /// The client waits to be told to go on.
    expects: Cell<bool>,
}

/// The request body, as the handler reads it.
struct Incoming<S>(Rc<Slot<S>>);

impl<S: Transport> Read for Incoming<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let slot = &self.0;
        let mut framing = slot.framing.get();
        if framing.is_done() {
            return Ok(0);
        }
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the request is over");
        // Taken out while it is in use: reading may park.
        let mut conn = slot.conn.take().ok_or_else(gone)?;
        if slot.expects.replace(false) {
            conn.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let read = framing.read(&mut conn, buf);
        slot.framing.set(framing);
        slot.conn.set(Some(conn));
        read
    }
}

impl Shared {
    /// Serves one connection to its end.
    fn connection<S, H, R>(&self, stream: S, handler: &H) -> io::Result<()>
    where
        S: Transport + 'static,
        H: Fn(Request<Body>) -> R,
        R: IntoResponse,
    {
        let mut conn = Conn::new(stream);
        let mut out = Vec::new();
        loop {
            if conn.buffered().is_empty() {
                conn.stream
                    .set_deadline(now().checked_add(self.config.idle_timeout));
                if conn.fill()? == 0 {
                    return Ok(());
                }
            }
            conn.stream
                .set_deadline(now().checked_add(self.config.head_timeout));
            let request = match self.request(&mut conn) {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(Refusal::Io(error)) => return Err(error),
                Err(Refusal::Status(status)) => return self.refuse(conn, status),
            };
            let (request, framing) = request;
            conn.stream.set_deadline(None);
            let asked = Asked {
                head_only: request.method() == Method::HEAD,
                version: request.version(),
                keep: keeps_alive(request.version(), request.headers()),
            };
            let slot = Rc::new(Slot {
                conn: Cell::new(Some(conn)),
                framing: Cell::new(framing),
                expects: Cell::new(request.headers().contains_key(EXPECT)),
            });
            let response = self.respond(handler, request, &slot, framing);
            let keep = self.send(&slot, response, &asked, &mut out)?;
            let Some(back) = slot.conn.take() else {
                return Ok(());
            };
            conn = back;
            let mut framing = slot.framing.get();
            if !keep || slot.expects.get() && !framing.is_done() || !drain(&mut conn, &mut framing)
            {
                conn.stream.linger();
                return Ok(());
            }
        }
    }

    fn request<S: Read>(
        &self,
        conn: &mut Conn<S>,
    ) -> Result<Option<(Request<()>, Framing)>, Refusal> {
        let Some(request) = read_request(conn, &self.config.limits)? else {
            return Ok(None);
        };
        let framing = announced(request.headers(), request.version())
            .map_err(|_| StatusCode::BAD_REQUEST)?
            .unwrap_or(Framing::Length(0));
        if matches!(framing, Framing::Length(length) if length > self.config.body) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE.into());
        }
        let expects = request.headers().get(EXPECT);
        if expects.is_some_and(|e| !e.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err(StatusCode::EXPECTATION_FAILED.into());
        }
        Ok(Some((request, framing)))
    }

    fn respond<S, H, R>(
        &self,
        handler: &H,
        request: Request<()>,
        slot: &Rc<Slot<S>>,
        framing: Framing,
    ) -> Response<Body>
    where
        S: Transport + 'static,
        H: Fn(Request<Body>) -> R,
        R: IntoResponse,
    {
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked(_) | Framing::UntilClose => None,
        };
        let incoming = Limited {
            inner: Incoming(Rc::clone(slot)),
            left: self.config.body,
        };
        let request = request.map(|()| Body::sized(incoming, length));
        handler(request).into_response().unwrap_or_else(|error| {
            if let Some(OnError(report)) = &self.on_error {
                report(&error);
            }
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }

    /// Says what is wrong, and closes.
    fn refuse<S: Transport>(&self, mut conn: Conn<S>, status: StatusCode) -> io::Result<()> {
        let mut out = Vec::new();
        let response = plain(status);
        let body = format!("{status}\n");
        self.head(&response, &mut out, Version::HTTP_11, false);
        write_header(&mut out, &CONTENT_LENGTH, body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body.as_bytes());
        conn.stream.write_all(&out)?;
        conn.stream.linger();
        Ok(())
    }

    /// Everything of a head but what frames the body.
    fn head<B>(&self, response: &Response<B>, out: &mut Vec<u8>, version: Version, keep: bool) {
        let status = response.status();
        out.clear();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in response.headers() {
            if ![CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(name) {
                write_header(out, name, value.as_bytes());
            }
        }
        if !response.headers().contains_key(DATE) {
            write_header(out, &DATE, self.date().as_bytes());
        }
        if !keep {
            write_header(out, &CONNECTION, b"close");
        } else if version == Version::HTTP_10 {
            write_header(out, &CONNECTION, b"keep-alive");
        }
    }

    /// Sends the response; whether the connection can be kept.
    fn send<S: Transport>(
        &self,
        slot: &Slot<S>,
        response: Response<Body>,
        asked: &Asked,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let (parts, mut body) = response.into_parts();
        let response = Response::from_parts(parts, ());
        let status = response.status();
        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let chunked = body.length().is_none() && asked.version != Version::HTTP_10 && !bodiless;
        let framed = chunked || bodiless || body.length().is_some();
        let keep = asked.keep && framed && keeps_alive(Version::HTTP_11, response.headers());
        self.head(&response, out, asked.version, keep);
        match body.length() {
            _ if bodiless => {}
            Some(length) => write_header(out, &CONTENT_LENGTH, length.to_string().as_bytes()),
            None if chunked => write_header(out, &TRANSFER_ENCODING, b"chunked"),
            None => {}
        }
        out.extend_from_slice(b"\r\n");
        if bodiless || asked.head_only {
            slot.write(out)?;
            return Ok(keep);
        }
        let mut left = body.length();
        loop {
            let more = read_part(&mut body, &mut left, chunked, out)?;
            if !more || out.len() >= ONE_WRITE {
                slot.write(out)?;
                out.clear();
            }
            if !more {
                return Ok(keep);
            }
        }
    }

    fn date(&self) -> HeaderValue {
        let time = SystemTime::now();
        let second = time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut cached = self.date.borrow_mut();
        if cached.0 != second {
            let text = httpdate::fmt_http_date(time);
            *cached = (
                second,
                HeaderValue::from_str(&text).expect("a date is plain ASCII"),
            );
        }
        cached.1.clone()
    }
}

/// What of a request decides how it is answered.
struct Asked {
    head_only: bool,
    version: Version,
    keep: bool,
}

impl<S: Transport> Slot<S> {
    /// Writes, unless a reader of the request has the connection and does not give it back.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let busy = || {
            io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the request is still being read",
            )
        };
        let mut conn = self.conn.take().ok_or_else(busy)?;
        let wrote = conn.stream.write_all(bytes);
        self.conn.set(Some(conn));
        wrote
    }
}

/// Appends some of the body, framed; `false` after the last.
fn read_part(
    body: &mut Body,
    left: &mut Option<u64>,
    chunked: bool,
    out: &mut Vec<u8>,
) -> io::Result<bool> {
    const PART: usize = 16 * 1024;
    let most = left.map_or(PART, |left| PART.min(usize::try_from(left).unwrap_or(PART)));
    if most == 0 {
        return Ok(false);
    }
    let start = out.len();
    // Room for the size line of a chunk, which is known only afterwards.
    let prefix = if chunked { 6 } else { 0 };
    out.resize(start + prefix + most, 0);
    let n = body.read(&mut out[start + prefix..])?;
    out.truncate(start + prefix + n);
    match left {
        Some(_) if n == 0 => {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the body is too short",
            ));
        }
        Some(left) => *left -= n as u64,
        None => {}
    }
    if chunked {
        if n == 0 {
            out.truncate(start);
            out.extend_from_slice(b"0\r\n\r\n");
        } else {
            out[start..start + prefix].copy_from_slice(format!("{n:04x}\r\n").as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    Ok(n > 0)
}

/// Reads what the handler has left of the body; `false` if that is too much.
fn drain<S: Read>(conn: &mut Conn<S>, framing: &mut Framing) -> bool {
    let (mut buf, mut left) = (vec![0; 4096], DRAIN);
    while !framing.is_done() {
        match framing.read(conn, &mut buf) {
            Ok(0) => return framing.is_done(),
            Err(_) => return false,
            Ok(n) => match left.checked_sub(n as u64) {
                Some(rest) => left = rest,
                None => return false,
            },
        }
    }
    true
}

/// A response that says its status.
fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{status}\n")));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
