//! One connection of the server: request, handler, response, and again.
//!
//! While a handler runs, its request's body and the connection share one `Connection` through a slot: who
//! reads or writes takes the lane out and puts it back. So nobody can meet it half changed: if a
//! green thread ends while it holds the lane, the lane goes with it and the connection closes.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::header::{DATE, EXPECT};
use ::http::{HeaderMap, Method, Request, Response, StatusCode, Version};

use super::body::{Body, BodyFraming};
use super::buffered::{BufferedStream, IoDeadline, Stream};
use super::decoder::Decoder;
use super::head::{self, ProtocolError};
use super::server::{Server, empty_response};

/// What is read of a body that the handler left, for the sake of the next request.
const MAX_DRAIN_BYTES: usize = 64 * 1024;

/// What is read, and for how long, so that a last response outlives what the peer still sends.
const LINGER_MAX_BYTES: usize = 1024 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection between two messages or in one.
struct Connection<S> {
    stream: BufferedStream<S>,
    decoder: Decoder,
    /// Which request it is at: a body of an earlier one has nothing to read any more.
    request_number: u64,
    /// Whether the client waits for `100 Continue`.
    expect_continue: bool,
    /// What was wrong with the body, once that is known.
    error: Option<ProtocolError>,
}

type Slot<S> = Rc<Cell<Option<Box<Connection<S>>>>>;

/// Takes the lane out of its slot.
fn take<S>(slot: &Slot<S>) -> io::Result<Box<Connection<S>>> {
    let message = "the connection is in use by another green thread, or gone";
    slot.take()
        .ok_or_else(|| io::Error::new(io::ErrorKind::ResourceBusy, message))
}

/// Serves one connection until either side closes it. The error is of interest to nobody.
pub(super) fn serve_connection<S, H>(
    stream: S,
    server: &Server,
    dates: &DateCache,
    handler: H,
) -> io::Result<()>
where
    S: Stream + 'static,
    H: Fn(Request<Body>) -> Response<Body>,
{
    let mut out = Vec::new();
    let mut connection = Box::new(Connection {
        stream: BufferedStream::new(stream, IoDeadline::after(server.head_timeout)),
        decoder: Decoder::DONE,
        request_number: 0,
        expect_continue: false,
        error: None,
    });
    let slot: Slot<S> = Rc::new(Cell::new(None));
    loop {
        let request = match connection.next_request(server) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                return connection.send_error(status_for(&error).ok_or(error)?, dates, &mut out);
            }
        };
        let context = RequestContext {
            is_head: request.method() == Method::HEAD,
            version: request.version(),
            keep_alive: head::keeps_alive(request.headers(), request.version()),
        };
        let body = if connection.decoder.is_done() {
            Body::empty()
        } else {
            let body_reader = RequestBody {
                slot: Rc::clone(&slot),
                request_number: connection.request_number,
            };
            Body::received(body_reader, connection.decoder.length())
        };
        slot.set(Some(connection));
        let response = handler(request.map(|()| body));
        connection = take(&slot)?;
        if let Some(error) = connection.error {
            return connection.send_error(error.status, dates, &mut out);
        }
        // Without 100 the client may send the body or not: what comes next could be either.
        let keep_alive = context.keep_alive && !connection.expect_continue;
        let (keep_alive, mut body, framing) = write_head(
            &mut out,
            response,
            &RequestContext {
                keep_alive,
                ..context
            },
            dates,
        );
        slot.set(Some(connection));
        let mut began = false;
        let sent = body.send(&mut out, framing, |bytes| {
            let mut connection = take(&slot)?;
            began = true;
            connection.expect_continue = false;
            let result = connection.stream.write_all(bytes);
            slot.set(Some(connection));
            result
        });
        connection = take(&slot)?;
        match (sent, connection.error) {
            (Ok(()), _) => {}
            (Err(_), Some(error)) if !began => {
                return connection.send_error(error.status, dates, &mut out);
            }
            (Err(error), _) => return Err(error),
        }
        if !keep_alive || !connection.drain() {
            return if connection.decoder.is_done() {
                Ok(())
            } else {
                connection.lingering_close()
            };
        }
    }
}

/// What of a request decides about its response's framing.
struct RequestContext {
    is_head: bool,
    version: Version,
    keep_alive: bool,
}

impl<S: Stream> Connection<S> {
    /// Reads a head; `None` if there is none to come.
    fn next_request(&mut self, server: &Server) -> io::Result<Option<Request<()>>> {
        let stream = &mut self.stream;
        if self.request_number > 0 && stream.buffered().is_empty() {
            stream.deadline = IoDeadline::after(server.idle_timeout);
            match stream.fill() {
                Ok(0) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
                read => drop(read?),
            }
        }
        stream.deadline = IoDeadline::after(server.head_timeout);
        let Some(length) = stream.head(&server.limits)? else {
            return Ok(None);
        };
        let request = head::parse_request(&stream.buffered()[..length], &server.limits)?;
        stream.consume(length);
        stream.deadline = IoDeadline::PerCall(server.io_timeout);
        self.request_number += 1;
        if let Some(state) = head::body_framing(request.headers(), request.version())? {
            self.decoder = Decoder::new(state, server.limits.body)?;
        }
        self.expect_continue = expects_continue(&request)? && !self.decoder.is_done();
        Ok(Some(request))
    }

    fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.expect_continue) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let result = self.decoder.read(&mut self.stream, buf);
        self.error = result
            .as_ref()
            .err()
            .and_then(ProtocolError::of)
            .or(self.error);
        result
    }

    /// Reads what the handler left of the body; whether that was all of it.
    fn drain(&mut self) -> bool {
        self.decoder.is_done() || self.drain_rest()
    }

    /// Apart, so that the buffer does not lie between this green thread's frames: a page more that
    /// each request would have to touch.
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

    /// A last answer, without a body.
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
        // What made it wait too long must not keep it from saying so.
        self.stream.deadline = IoDeadline::after(LINGER_TIMEOUT);
        self.stream.write_all(out)?;
        self.lingering_close()
    }

    /// Closing with input unread would reset the connection, and the client might miss the answer.
    #[cold]
    #[inline(never)]
    fn lingering_close(&mut self) -> io::Result<()> {
        self.stream.stream.finish()?;
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
    slot: Slot<S>,
    request_number: u64,
}

impl<S: Stream> Read for RequestBody<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut connection = take(&self.slot)?;
        let result = if connection.request_number == self.request_number {
            connection.read_body(buf)
        } else {
            Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the request has been answered",
            ))
        };
        self.slot.set(Some(connection));
        result
    }
}

/// What to answer to a request that could not be read, if there is anything to answer.
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
            "only `100-continue` can be expected",
        )),
    }
}

/// Appends a response's head to `out`; whether the connection may go on, the body, and how the body
/// ends.
fn write_head(
    out: &mut Vec<u8>,
    response: Response<Body>,
    context: &RequestContext,
    dates: &DateCache,
) -> (bool, Body, BodyFraming) {
    let (mut parts, mut body) = response.into_parts();
    if parts.status.is_informational() {
        // Not final: the client would wait for another one.
        (parts.status, parts.headers) = (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new());
        body = Body::empty();
    }
    let status = parts.status;
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let declared = head::content_length(&parts.headers).ok().flatten();
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

/// The `Date` header's text, written anew once a second.
#[derive(Default)]
pub(super) struct DateCache(Cell<(u64, [u8; 29])>);

impl DateCache {
    fn date(&self) -> [u8; 29] {
        let time = SystemTime::now();
        let second = time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let (mut written, mut text) = self.0.get();
        if written != second {
            written = second;
            text.copy_from_slice(httpdate::fmt_http_date(time).as_bytes());
            self.0.set((written, text));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{DateCache, serve_connection};
    use crate::http::buffered::testing::MockStream;
    use crate::http::server::{IntoResponse, Server};
    use crate::http::{Body, Request, Response};
    use std::cell::RefCell;
    use std::io::{self, Read};
    use std::rc::Rc;

    /// Everything the server says to `pieces`, without the date.
    fn said<R: IntoResponse>(
        server: &Server,
        mock: MockStream,
        handler: impl Fn(Request<Body>) -> R,
    ) -> String {
        let writes = Rc::clone(&mock.writes);
        let handler = |request| server.answer(&handler, request);
        serve_connection(mock, server, &DateCache::default(), handler).ok();
        let said = String::from_utf8(writes.borrow().concat()).unwrap();
        let lines = said.split_inclusive("\r\n");
        lines.filter(|line| !line.starts_with("date: ")).collect()
    }

    fn echo(request: Request<Body>) -> io::Result<Response<String>> {
        let line = format!("{} {} ", request.method(), request.uri());
        Ok(Response::new(line + &request.into_body().into_text()?))
    }

    fn asked(request: &str) -> String {
        said(
            &Server::default(),
            MockStream::new(&[request.as_bytes()]),
            echo,
        )
    }

    const BAD: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    #[test]
    fn a_small_exchange_is_one_read_and_one_write() {
        let mock = MockStream::new(&[b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]);
        let (reads, writes) = (Rc::clone(&mock.reads), Rc::clone(&mock.writes));
        let hello = |_request| Response::new(Body::from("hello"));
        serve_connection(mock, &Server::default(), &DateCache::default(), hello).unwrap();
        assert_eq!((reads.get(), writes.borrow().len()), (1, 1));
        let said = String::from_utf8(writes.borrow()[0].clone()).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK\r\ndate: "), "{said}");
        assert!(
            said.ends_with("GMT\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"),
            "{said}"
        );
    }

    #[test]
    fn a_conversation_is_the_same_wherever_its_bytes_are_split() {
        let bytes = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none\
            POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
            2;x=y\r\ntw\r\n00A\r\no234567890\r\n0\r\nT: railer\r\n\r\n\
            \r\nHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n\
            GET /4 HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\nGET /5";
        let expected = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nPOST /1 one\
            HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nPOST /2 two234567890\
            HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n\
            HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nGET /4 ";
        let server = Server::default();
        for cut in 0..bytes.len() {
            let mock = MockStream::new(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(said(&server, mock, echo), expected, "split at {cut}");
        }
        let bytewise: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(said(&server, MockStream::new(&bytewise), echo), expected);
    }

    #[test]
    fn one_wrong_byte_anywhere_is_answered_or_cut_off() {
        let bytes = b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
            2;x=y\r\ntw\r\n0\r\nT: railer\r\n\r\n\
            POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none";
        for at in 0..bytes.len() {
            for wrong in *b"\0\t\r\n +-:;0f\x7f\xff" {
                let mut bytes = bytes.to_vec();
                bytes[at] = wrong;
                let all = said(&Server::default(), MockStream::new(&[&bytes]), echo);
                let answers = all.matches("HTTP/1.1 ").count();
                assert!(answers <= 2, "{wrong:#x} at {at}: {all}");
                assert!(
                    all.is_empty() || all.starts_with("HTTP/1.1 "),
                    "{wrong:#x} at {at}"
                );
            }
        }
    }

    #[test]
    fn broken_chunks_are_answered_400_and_end_the_connection() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(1000));
        for body in [
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5 ;a\r\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            ";a\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5;\0\r\nhello\r\n0\r\n\r\n",
            "5;\r\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloworld\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            "0\r\ntrailer\r\n\r\n",
            &long,
            &trailers,
        ] {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let request = format!("{head}{body}{next}");
            assert_eq!(asked(&request), BAD, "{body:?}");
            let all = said(
                &Server::default(),
                MockStream::new(&[request.as_bytes()]),
                |request| Response::new(request.into_body()),
            );
            assert_eq!(all.matches("HTTP/1.1").count(), 1, "{body:?}");
        }
    }

    #[test]
    fn a_broken_head_is_answered_400_and_ends_the_connection() {
        let next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(asked(&format!("GET / HTTP/1.1\r\n\r\n{next}")), BAD);
        let both = "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n";
        let both = format!("GET / HTTP/1.1\r\nHost: a\r\n{both}\r\n0\r\n\r\n");
        assert_eq!(asked(&format!("{both}{next}")), BAD);
    }

    #[test]
    fn a_body_over_its_limit_is_answered_413_early_or_late() {
        let server = Server::builder().max_body_bytes(4).build();
        for body in [
            "Content-Length: 5\r\n\r\nhello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
        ] {
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{body}");
            let all = said(&server, MockStream::new(&[request.as_bytes()]), echo);
            assert!(all.starts_with("HTTP/1.1 413 "), "{all}");
        }
    }

    #[test]
    fn http_1_0_is_closed_unless_it_asks_to_be_kept() {
        let kept =
            asked("GET /1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGET /3");
        assert_eq!(
            kept,
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: keep-alive\r\n\r\nGET /1 \
             HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nGET /2 "
        );
    }

    #[test]
    fn a_body_of_unknown_length_is_chunked_or_ends_with_the_connection() {
        let stream = |_request| Response::new(Body::from_reader(&b"hello"[..]));
        let ask = |head: &str| {
            said(
                &Server::default(),
                MockStream::new(&[head.as_bytes()]),
                stream,
            )
        };
        assert_eq!(
            ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0005\r\nhello\r\n0\r\n\r\n"
        );
        assert_eq!(
            ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello"
        );
        assert_eq!(
            ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn the_content_length_of_a_reader_is_kept_to_or_the_connection_is_cut() {
        for (length, expected) in [
            ("3", "\r\n\r\nhel"),
            ("5", "\r\n\r\nhello"),
            ("0", "0\r\n\r\n"),
        ] {
            let all = said(
                &Server::default(),
                MockStream::new(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n"]),
                |_request| {
                    let body = Body::from_reader(&b"hello"[..]);
                    Response::builder()
                        .header("content-length", length)
                        .body(body)
                        .unwrap()
                },
            );
            assert!(all.ends_with(expected), "{all}");
        }
        let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
        let all = said(
            &Server::default(),
            MockStream::new(&[twice.as_bytes()]),
            |_request| {
                let body = Body::from_reader(&b"hello"[..]);
                Response::builder()
                    .header("content-length", "6")
                    .body(body)
                    .unwrap()
            },
        );
        assert_eq!(all.matches("200 OK").count(), 1, "{all}");
        assert!(all.ends_with("\r\n\r\nhello"), "{all}");
    }

    #[test]
    fn statuses_without_a_body_carry_no_framing_and_keep_the_connection() {
        let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
        for status in [204, 304] {
            let all = said(
                &Server::default(),
                MockStream::new(&[twice.as_bytes()]),
                |_request| Response::builder().status(status).body("body").unwrap(),
            );
            assert_eq!(all.matches("\r\n\r\n").count(), 2, "{all}");
            assert!(
                !all.contains("content-length") && !all.contains("body"),
                "{all}"
            );
        }
    }

    #[test]
    fn go_on_is_said_when_the_body_is_first_read_and_only_then() {
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
        let go = "HTTP/1.1 100 Continue\r\n\r\n";
        let read = asked(&format!("{head}hi"));
        assert_eq!(
            read,
            format!("{go}HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nPOST / hi")
        );

        let ask = |answer: fn(Request<Body>) -> Response<Body>| {
            said(
                &Server::default(),
                MockStream::new(&[head.as_bytes(), b"hi"]),
                answer,
            )
        };
        let unread = ask(|_request| Response::new("no".into()));
        let closing = "connection: close\r\n";
        assert_eq!(
            unread,
            format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{closing}\r\nno")
        );
        let echoed = ask(|request| Response::new(request.into_body()));
        assert_eq!(
            echoed,
            format!("{go}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{closing}\r\nhi")
        );
        let other = asked("GET / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n");
        assert!(other.starts_with("HTTP/1.1 417 "), "{other}");
    }

    #[test]
    fn an_unread_body_is_skipped_up_to_64_kib() {
        for (length, answers) in [(65536, 2), (65537, 1)] {
            let body = "x".repeat(length);
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            let request = format!("{head}{body}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let mock = MockStream::new(&[request.as_bytes()]);
            let all = said(&Server::default(), mock, |_request| Response::new(""));
            assert_eq!(all.matches("200 OK").count(), answers, "{length}");
        }
    }

    #[test]
    fn an_error_is_answered_500_and_the_next_request_is_served() {
        let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
        let all = said(
            &Server::default(),
            MockStream::new(&[twice.as_bytes()]),
            |_request| Err::<Response<()>, _>(io::Error::other("no")),
        );
        assert_eq!(
            all,
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".repeat(2)
        );
    }

    #[test]
    fn a_late_head_is_answered_408_and_an_idle_connection_is_just_closed() {
        let silent_after = |bytes: &str| {
            let mock = MockStream::new(&[bytes.as_bytes()]);
            said(
                &Server::default(),
                MockStream {
                    stalls: true,
                    ..mock
                },
                echo,
            )
        };
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nGET / ";
        let late = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(silent_after(whole), answer);
        assert_eq!(
            silent_after(&format!("{whole}GET")),
            format!("{answer}{late}")
        );
        assert_eq!(silent_after("GET"), late);
    }

    #[test]
    fn a_body_that_outlives_its_request_reads_nothing_of_the_next() {
        let kept = Rc::new(RefCell::new(None));
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        let all = said(
            &Server::default(),
            MockStream::new(&[request.repeat(2).as_bytes()]),
            {
                let kept = Rc::clone(&kept);
                move |request: Request<Body>| {
                    if let Some(mut old) = kept.replace(Some(request.into_body())) {
                        let error = Read::read(&mut old, &mut [0; 9]).unwrap_err();
                        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
                    }
                    Response::new("")
                }
            },
        );
        assert_eq!(all.matches("200 OK").count(), 2);
    }
}
