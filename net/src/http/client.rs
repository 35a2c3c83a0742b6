//! The client: requests over connections that are kept and used again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::now;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri, Version};

use super::body::{Body, Limited};
use super::conn::{Conn, Timed, Transport, truncated};
use super::framing::{Framing, announced};
use super::head::{Limits, keeps_alive, read_response, write_header};
use crate::listen::connect_timeout;

/// Fetches a URL with a client of its own, and its defaults.
///
/// # Errors
///
/// As [`Client::request`].
///
/// # Examples
///
/// ```no_run
/// let response = evy_net::http::get("http://127.0.0.1:8000/")?;
/// println!("{}: {}", response.status(), response.into_body().into_text()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn get(url: &str) -> io::Result<Response<Body>> {
    Client::new().get(url)
}

/// An HTTP/1.1 client. Clones share its connections.
///
/// A connection is kept when a body was read to its end, and used for the next request to the same
/// host. Redirects are returned, not followed.
#[derive(Clone, Debug)]
pub struct Client(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ClientBuilder,
    idle: RefCell<HashMap<String, Vec<Conn<Timed>>>>,
}

/// Chooses how a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    connect_timeout: Duration,
    timeout: Option<Duration>,
    limits: Limits,
    body: u64,
    idle_per_host: usize,
    user_agent: HeaderValue,
}

impl ClientBuilder {
    /// How long a connection may take to be established. 30 seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a whole exchange may take, the body included. By default as long as it takes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The largest head of a response, in bytes and headers. 64 KiB and 100 by default.
    #[must_use]
    pub fn max_head(mut self, bytes: usize, headers: usize) -> Self {
        (self.limits.bytes, self.limits.headers) = (bytes, headers);
        self
    }

    /// The largest body of a response, in bytes. 64 MiB by default.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.body = bytes;
        self
    }

    /// How many unused connections are kept for each host. 32 by default.
    #[must_use]
    pub fn max_idle_per_host(mut self, connections: usize) -> Self {
        self.idle_per_host = connections;
        self
    }

    /// The client. Never parks.
    #[must_use]
    pub fn build(self) -> Client {
        Client(Rc::new(Inner {
            config: self,
            idle: RefCell::default(),
        }))
    }
}

impl Client {
    /// A client with the defaults. Never parks.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A client with choices. Never parks.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            connect_timeout: Duration::from_secs(30),
            timeout: None,
            // A status line is no target: the whole head is the limit.
            limits: Limits {
                target: usize::MAX / 2,
                ..Limits::default()
            },
            body: 64 << 20,
            idle_per_host: 32,
            user_agent: HeaderValue::from_static(concat!("evy/", env!("CARGO_PKG_VERSION"))),
        }
    }

    /// Fetches a URL; see [`request`](Self::request).
    ///
    /// # Errors
    ///
    /// As `request`; `InvalidInput` for what is no URL.
    pub fn get(&self, url: &str) -> io::Result<Response<Body>> {
        // A fragment is for the reader of the page, not for its server.
        let url = url.split('#').next().unwrap_or_default();
        let request = Request::get(url).body(());
        let invalid = |error| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("'{url}' is no URL: {error}"),
            )
        };
        self.request(request.map_err(invalid)?)
    }

    /// Sends a request and returns the response as soon as its head is there; its body is read as it
    /// comes. Parks.
    ///
    /// A kept connection that turns out to be closed is replaced by a new one, if the method allows
    /// for a second try.
    ///
    /// # Errors
    ///
    /// Those of connecting; `Unsupported` for a scheme other than `http`; `InvalidData` for a
    /// response that is malformed or over a limit; `UnexpectedEof` for one that was cut off;
    /// `TimedOut`.
    pub fn request<B: Into<Body>>(&self, request: Request<B>) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let (request, mut body) = (Request::from_parts(parts, ()), body.into());
        let host = host_of(request.uri())?;
        let config = &self.0.config;
        let deadline = config
            .timeout
            .and_then(|timeout| now().checked_add(timeout));
        let head = request_head(&request, &host, &body, &config.user_agent);
        let kept = self.0.idle.borrow_mut().get_mut(&host).and_then(Vec::pop);
        if let Some(conn) = kept {
            // Without a body there is nothing that a second try would lack.
            let again = is_idempotent(request.method()) && body.length() == Some(0);
            match self.exchange(conn, &request, &head, &mut body, &host, deadline) {
                Err(Failed {
                    error: _,
                    untouched: true,
                }) if again => {}
                other => return other.map_err(|failed| failed.error),
            }
        }
        let mut patience = config.connect_timeout;
        if let Some(deadline) = deadline {
            patience = patience.min(deadline.saturating_duration_since(now()));
        }
        // Zero would be refused as a mistake; the time is up, and will be in a moment.
        let stream = connect_timeout(&*host, patience.max(Duration::from_nanos(1)))?;
        stream.set_nodelay(true)?;
        let conn = Conn::new(Timed::new(stream));
        self.exchange(conn, &request, &head, &mut body, &host, deadline)
            .map_err(|failed| failed.error)
    }

    fn exchange(
        &self,
        mut conn: Conn<Timed>,
        request: &Request<()>,
        head: &[u8],
        body: &mut Body,
        host: &str,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Failed> {
        let config = &self.0.config;
        conn.stream.set_deadline(deadline);
        let untouched = |error| Failed {
            error,
            untouched: true,
        };
        send(&mut conn.stream, head, body).map_err(untouched)?;
        let response = loop {
            let head = read_response(&mut conn, &config.limits);
            let head = head.map_err(|refusal| {
                let nothing_read = conn.buffered().is_empty();
                Failed {
                    error: refusal.into_io(),
                    untouched: nothing_read,
                }
            })?;
            let response = head.ok_or_else(|| untouched(truncated()))?;
            // 101 would need an upgrade that nobody has asked for.
            if !response.status().is_informational() {
                break response;
            }
        };
        let touched = |error| Failed {
            error,
            untouched: false,
        };
        let framing = framing_of(request, &response).map_err(touched)?;
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked(_) | Framing::UntilClose => None,
        };
        let keep = keeps_alive(response.version(), response.headers());
        let pool = keep.then(|| Rc::downgrade(&self.0));
        let mut reader = Received {
            conn: Some(conn),
            framing,
            pool,
            host: host.to_owned(),
        };
        if framing.is_done() {
            reader.finish();
        }
        let limited = Limited {
            inner: reader,
            left: config.body,
        };
        Ok(response.map(|()| Body::sized(limited, length)))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

/// An exchange that failed, and whether the server may have seen nothing of it.
struct Failed {
    error: io::Error,
    untouched: bool,
}

/// The body of a response. Gives its connection back when it was read to the end.
struct Received {
    conn: Option<Conn<Timed>>,
    framing: Framing,
    /// Where the connection goes; dead if the client is gone, `None` if it must be closed.
    pool: Option<Weak<Inner>>,
    host: String,
}

impl Received {
    fn finish(&mut self) {
        let pool = self.pool.take().and_then(|pool| pool.upgrade());
        let (Some(pool), Some(conn)) = (pool, self.conn.take()) else {
            return;
        };
        // Bytes that nobody has asked for cannot belong to the next answer.
        if !conn.buffered().is_empty() {
            return;
        }
        let mut idle = pool.idle.borrow_mut();
        let kept = idle.entry(std::mem::take(&mut self.host)).or_default();
        if kept.len() < pool.config.idle_per_host {
            kept.push(conn);
        }
    }
}

impl Read for Received {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(conn) = &mut self.conn else {
            return Ok(0);
        };
        let n = self.framing.read(conn, buf)?;
        if self.framing.is_done() {
            self.finish();
        }
        Ok(n)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

/// `host:port`, as it is connected to and as the Host header has it.
fn host_of(uri: &Uri) -> io::Result<String> {
    let error = |kind, what: &'static str| io::Error::new(kind, format!("{what}: '{uri}'"));
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(error(
                io::ErrorKind::Unsupported,
                "https needs TLS, which is not here yet",
            ));
        }
        _ => {
            return Err(error(
                io::ErrorKind::Unsupported,
                "not a URL of the scheme http",
            ));
        }
    }
    let authority = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    if host.is_empty() || authority.contains('@') {
        return Err(error(
            io::ErrorKind::InvalidInput,
            "a URL needs a host, and nothing before it",
        ));
    }
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
}

fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ]
    .contains(method)
}

fn request_head(request: &Request<()>, host: &str, body: &Body, agent: &HeaderValue) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !request.headers().contains_key(HOST) {
        write_header(
            &mut out,
            &HOST,
            host.strip_suffix(":80").unwrap_or(host).as_bytes(),
        );
    }
    if !request.headers().contains_key(USER_AGENT) {
        write_header(&mut out, &USER_AGENT, agent.as_bytes());
    }
    for (name, value) in request.headers() {
        if ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            write_header(&mut out, name, value.as_bytes());
        }
    }
    match body.length() {
        Some(0) if [Method::GET, Method::HEAD].contains(request.method()) => {}
        Some(length) => write_header(&mut out, &CONTENT_LENGTH, length.to_string().as_bytes()),
        None => write_header(&mut out, &TRANSFER_ENCODING, b"chunked"),
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Sends head and body, a small body in the same write.
fn send(stream: &mut Timed, head: &[u8], body: &mut Body) -> io::Result<()> {
    let chunked = body.length().is_none();
    let (mut out, mut part) = (head.to_vec(), vec![0; 16 * 1024]);
    loop {
        let n = body.read(&mut part)?;
        if n == 0 {
            break;
        }
        if chunked {
            out.extend_from_slice(format!("{n:x}\r\n").as_bytes());
        }
        out.extend_from_slice(&part[..n]);
        if chunked {
            out.extend_from_slice(b"\r\n");
        }
        if out.len() > 32 * 1024 {
            stream.write_all(&out)?;
            out.clear();
        }
    }
    if chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
    stream.write_all(&out)
}

fn framing_of(request: &Request<()>, response: &Response<()>) -> io::Result<Framing> {
    let status = response.status();
    if request.method() == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return Ok(Framing::Length(0));
    }
    let version = if response.version() == Version::HTTP_10 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    Ok(announced(response.headers(), version)?.unwrap_or(Framing::UntilClose))
}
