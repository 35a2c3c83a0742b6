//! One connection of the server: request, handler, response, and again.
//!
//! While a handler runs, the body of its request and the server share one `Connection`. Both use it
//! inside [`SharedConnection::with`], which takes it out and puts it back. Therefore no code finds
//! it half changed: if a green thread ends in the middle, the connection is dropped with it, and
//! closes.

use std::cell::Cell;
use std::io::{self, Read};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use evy_net::Stream;
use http::header::{DATE, EXPECT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};

use super::date_cache::DateCache;
use super::into_response::empty_response;
use super::settings::Settings;
use crate::body::{Body, BodyFraming};
use crate::buffered::{BufferedStream, IoDeadline};
use crate::decoder::{Decoder, body_framing};
use crate::error::ProtocolError;
use crate::head::{self, content_length};

/// The number of unread body bytes that are skipped to reach the next request.
const MAX_DRAIN_BYTES: usize = 64 * 1024;

/// The limits on input that is discarded after a last response, so that the peer's further input
/// does not destroy that response.
const LINGER_MAX_BYTES: usize = 1024 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection, in a message or between two.
struct Connection<S> {
    stream: BufferedStream<S>,
    decoder: Decoder,
    /// Counts the requests. The body of an earlier request has nothing left to read.
    request_number: u64,
    /// Whether the client waits for `100 Continue`.
    expect_continue: bool,
    /// The error in the body of the request, if one is known.
    error: Option<ProtocolError>,
}

/// A connection that the server and the body of the request share.
struct SharedConnection<S>(Rc<Cell<Option<Box<Connection<S>>>>>);

impl<S> SharedConnection<S> {
    fn new(connection: Connection<S>) -> Self {
        Self(Rc::new(Cell::new(Some(Box::new(connection)))))
    }

    /// Runs `f` on the connection. If `f` unwinds, the connection is dropped.
    ///
    /// # Errors
    ///
    /// Returns the error of `f`, and `ResourceBusy` if another green thread uses the connection, or
    /// if it was dropped.
    fn with<R>(&self, f: impl FnOnce(&mut Connection<S>) -> io::Result<R>) -> io::Result<R> {
        let Some(mut connection) = self.0.take() else {
            let message = "the connection is in use by another green thread, or closed";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        };
        let result = f(&mut connection);
        self.0.set(Some(connection));
        result
    }
}

impl<S> Clone for SharedConnection<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// Serves one connection until either side closes it.
///
/// # Errors
///
/// Returns the error that ended the connection. It does not affect other connections.
pub(super) fn serve_connection<S, H>(
    stream: S,
    settings: &Settings,
    dates: &DateCache,
    handler: H,
) -> io::Result<()>
where
    S: Stream,
    H: Fn(Request<Body>) -> Response<Body>,
{
    let mut out = Vec::new();
    let shared = SharedConnection::new(Connection {
        stream: BufferedStream::new(stream, IoDeadline::after(settings.head_timeout)),
        decoder: Decoder::DONE,
        request_number: 0,
        expect_continue: false,
        error: None,
    });
    loop {
        let request = match shared.with(|connection| connection.next_request(settings)) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                let status = status_for(&error).ok_or(error)?;
                return shared.with(|connection| connection.send_error(status, dates, &mut out));
            }
        };
        let mut context = RequestContext {
            is_head: request.method() == Method::HEAD,
            version: request.version(),
            keep_alive: head::keeps_alive(request.headers(), request.version()),
        };
        let body = shared.with(|connection| Ok(connection.body(&shared)))?;
        let response = handler(request.map(|()| body));
        let (error, expect_continue) =
            shared.with(|connection| Ok((connection.error, connection.expect_continue)))?;
        if let Some(error) = error {
            return shared.with(|connection| connection.send_error(error.status, dates, &mut out));
        }
        // A client that was not sent `100 Continue` may send the body or not. The next bytes could
        // be either the body or a request.
        context.keep_alive &= !expect_continue;
        let (keep_alive, mut body, framing) = write_head(&mut out, response, &context, dates);
        let mut started = false;
        let sent = body.send(&mut out, framing, |bytes| {
            shared.with(|connection| {
                started = true;
                connection.expect_continue = false;
                connection.stream.write_all(bytes)
            })
        });
        let error = shared.with(|connection| Ok(connection.error))?;
        match (sent, error) {
            (Ok(()), _) => {}
            (Err(_), Some(error)) if !started => {
                let status = error.status;
                return shared.with(|connection| connection.send_error(status, dates, &mut out));
            }
            (Err(error), _) => return Err(error),
        }
        let continues = shared.with(|connection| {
            if keep_alive && connection.drain() {
                return Ok(true);
            }
            if !connection.decoder.is_done() {
                connection.lingering_close()?;
            }
            Ok(false)
        })?;
        if !continues {
            return Ok(());
        }
    }
}

/// The properties of a request that determine how its response is framed.
struct RequestContext {
    is_head: bool,
    version: Version,
    keep_alive: bool,
}

impl<S: Stream> Connection<S> {
    /// Reads a head. Returns `None` if the client is done.
    fn next_request(&mut self, settings: &Settings) -> io::Result<Option<Request<()>>> {
        let stream = &mut self.stream;
        if self.request_number > 0 && stream.buffered().is_empty() {
            stream.deadline = IoDeadline::after(settings.idle_timeout);
            match stream.fill() {
                Ok(0) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
                read => drop(read?),
            }
        }
        stream.deadline = IoDeadline::after(settings.head_timeout);
        let Some(length) = stream.head(&settings.limits)? else {
            return Ok(None);
        };
        let request = head::parse_request(&stream.buffered()[..length], &settings.limits)?;
        stream.consume(length);
        stream.deadline = IoDeadline::PerCall(settings.io_timeout);
        self.request_number += 1;
        if let Some(framing) = body_framing(request.headers(), request.version())? {
            self.decoder = Decoder::new(framing, settings.limits.body)?;
        }
        self.expect_continue = expects_continue(&request)? && !self.decoder.is_done();
        Ok(Some(request))
    }

    /// Returns the body of the request of which the head was read last.
    fn body(&self, shared: &SharedConnection<S>) -> Body {
        if self.decoder.is_done() {
            return Body::empty();
        }
        let reader = RequestBody {
            connection: shared.clone(),
            request_number: self.request_number,
        };
        Body::received(reader, self.decoder.length())
    }

    fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if mem::take(&mut self.expect_continue) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let result = self.decoder.read(&mut self.stream, buf);
        let error = result.as_ref().err().and_then(ProtocolError::of);
        self.error = error.or(self.error);
        result
    }

    /// Reads what the handler left of the body. Returns `true` if that was all of it.
    fn drain(&mut self) -> bool {
        self.decoder.is_done() || self.drain_rest()
    }

    /// Out of line, because otherwise the buffer would lie between this green thread's frames, and
    /// each request would touch one more page.
    #[cold]
    #[inline(never)]
    fn drain_rest(&mut self) -> bool {
        let mut scratch = [0; 4096];
        let mut left = MAX_DRAIN_BYTES;
        while !self.decoder.is_done() {
            match self.decoder.read(&mut self.stream, &mut scratch) {
                Ok(read) if read <= left => left -= read,
                _ => return false,
            }
        }
        true
    }

    /// Sends a last response, without a body, and closes the connection.
    #[cold]
    #[inline(never)]
    fn send_error(
        &mut self,
        status: StatusCode,
        dates: &DateCache,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let context = RequestContext {
            is_head: false,
            version: Version::HTTP_11,
            keep_alive: false,
        };
        out.clear();
        write_head(out, empty_response(status), &context, dates);
        // The request's deadline may have passed, so the error response gets a fresh one.
        self.stream.deadline = IoDeadline::after(LINGER_TIMEOUT);
        self.stream.write_all(out)?;
        self.lingering_close()
    }

    /// Closes the connection, but discards further input for a while. Closing with unread input
    /// would reset the connection, and the client might miss the response.
    #[cold]
    #[inline(never)]
    fn lingering_close(&mut self) -> io::Result<()> {
        self.stream.stream.close_write()?;
        self.stream.deadline = IoDeadline::after(LINGER_TIMEOUT);
        let mut scratch = [0; 4096];
        let mut left = LINGER_MAX_BYTES;
        loop {
            match self.stream.read(&mut scratch)? {
                0 => return Ok(()),
                read if read > left => return Ok(()),
                read => left -= read,
            }
        }
    }
}

/// The body of a request, read from its connection.
struct RequestBody<S> {
    connection: SharedConnection<S>,
    request_number: u64,
}

impl<S: Stream> Read for RequestBody<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.with(|connection| {
            if connection.request_number != self.request_number {
                let message =
                    "the request has already been answered, so its body can no longer be read";
                return Err(io::Error::new(io::ErrorKind::NotConnected, message));
            }
            connection.read_body(buf)
        })
    }
}

/// Returns the status that answers a request which could not be read, if it is to be answered.
fn status_for(error: &io::Error) -> Option<StatusCode> {
    match ProtocolError::of(error) {
        Some(error) => Some(error.status),
        None if error.kind() == io::ErrorKind::TimedOut => Some(StatusCode::REQUEST_TIMEOUT),
        None => None,
    }
}

fn expects_continue(request: &Request<()>) -> Result<bool, ProtocolError> {
    match request.headers().get(EXPECT) {
        None => Ok(false),
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Ok(request.version() == Version::HTTP_11)
        }
        Some(_) => Err(ProtocolError::new(
            StatusCode::EXPECTATION_FAILED,
            "the only expectation supported is `100-continue`",
        )),
    }
}

/// Appends the head of a response to `out`. Returns whether the connection can be reused, the body,
/// and how the body is framed.
fn write_head(
    out: &mut Vec<u8>,
    response: Response<Body>,
    context: &RequestContext,
    dates: &DateCache,
) -> (bool, Body, BodyFraming) {
    let (mut parts, mut body) = response.into_parts();
    if parts.status.is_informational() {
        // Such a response is not final: the client would wait for another one.
        (parts.status, parts.headers) = (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new());
        body = Body::empty();
    }
    let status = parts.status;
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let declared = content_length(&parts.headers).ok().flatten();
    let length = match body.length() {
        Some(0) if context.is_head => declared.or(Some(0)),
        length => length.or(declared),
    };
    let framing = match length {
        _ if bodiless => BodyFraming::Nothing,
        Some(length) => BodyFraming::Length(length),
        None if context.version == Version::HTTP_11 => BodyFraming::Chunked,
        None => BodyFraming::Close,
    };
    let keep_alive = context.keep_alive
        && head::keeps_alive(&parts.headers, Version::HTTP_11)
        && (framing != BodyFraming::Close || context.is_head);

    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    if !parts.headers.contains_key(DATE) {
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(&dates.date());
        out.extend_from_slice(b"\r\n");
    }
    framing.write_header(out);
    match (keep_alive, context.version) {
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, Version::HTTP_10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, _) => {}
    }
    head::write_headers(out, &parts.headers);
    out.extend_from_slice(b"\r\n");
    (
        keep_alive,
        body,
        if context.is_head {
            BodyFraming::Nothing
        } else {
            framing
        },
    )
}
