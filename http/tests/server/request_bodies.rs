//! Request bodies: how a handler can read them, how they end, and what the client gets meanwhile.

use std::io::{self, BufRead, Read, Write};
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_http::{AccessLog, Body, HeaderMap, HeaderValue, Request, Server};
use evy_test_support::within;

use super::{connect, exchange, read_to_end, read_until, start, statuses};

const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

fn read_in_some_way(request: Request<Body>) -> io::Result<String> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    match path.as_str() {
        "/exact" => {
            bytes.resize(7, 0);
            body.read_exact(&mut bytes)?;
            body.read_to_end(&mut bytes)?;
        }
        "/bytes" => {
            for byte in body.bytes() {
                bytes.push(byte?);
            }
        }
        "/line" => while body.read_until(b'\n', &mut bytes)? > 0 {},
        "/lines" => {
            for line in body.lines() {
                bytes.extend_from_slice(line?.as_bytes());
                bytes.push(b'\n');
            }
        }
        "/blocks" => {
            while let block @ [_, ..] = body.fill_buf()? {
                bytes.extend_from_slice(block);
                let size = block.len();
                body.consume(size);
            }
        }
        "/short" => {
            bytes.resize(3, 0);
            body.read_exact(&mut bytes)?;
        }
        _ => bytes = body.into_bytes()?,
    }
    Ok(String::from_utf8(bytes).unwrap())
}

#[test]
fn a_body_in_chunks_can_be_read_in_every_way() {
    within(|| {
        let addr = start(Server::default(), read_in_some_way);
        for path in ["/all", "/exact", "/bytes", "/line", "/lines", "/blocks"] {
            for chunks in [
                "10\r\none\ntwo\n\nthree\nf\r\n4\r\nour\n\r\n0\r\n\r\n",
                "1\r\no\r\n003\r\nne\n\r\nD\r\ntwo\n\nthree\nfo\r\n3\r\nur\n\r\n000\r\n\r\n",
                "14;name=value;flag;q=\"a b\"\r\none\ntwo\n\nthree\nfour\n\r\n0;x\r\nT: t\r\n\r\n",
            ] {
                let head = post(path, "Transfer-Encoding: chunked\r\n");
                let answer = exchange(addr, format!("{head}{chunks}{LAST}").as_bytes());
                assert_eq!(statuses(&answer), ["200", "200"], "{path}: {answer}");
                let first = answer.split("HTTP/1.1 ").nth(1).unwrap();
                assert!(
                    first.ends_with("\r\n\r\none\ntwo\n\nthree\nfour\n"),
                    "{path}: {answer}"
                );
            }
        }
    });
}

#[test]
fn after_a_short_read_of_a_body_the_next_request_is_served() {
    within(|| {
        let addr = start(Server::default(), read_in_some_way);
        for body in [
            post("/short", "Content-Length: 6\r\n") + "foobar",
            post("/short", "Transfer-Encoding: chunked\r\n") + "6\r\nfoobar\r\n0\r\n\r\n",
        ] {
            let answer = exchange(addr, format!("{body}{LAST}").as_bytes());
            assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
            assert!(answer.contains("\r\n\r\nfooHTTP/1.1 "), "{answer}");
        }
    });
}

#[test]
fn iterating_over_a_body_yields_lines_or_blocks_and_not_bytes() {
    static PIECES: AtomicUsize = AtomicUsize::new(0);
    fn count(request: Request<Body>) -> io::Result<String> {
        PIECES.store(0, Ordering::SeqCst);
        let path = request.uri().path().to_owned();
        let mut body = request.into_body();
        let mut lines = 0;
        if path == "/lines" {
            lines = body.by_ref().lines().count();
        }
        while let block @ [_, ..] = body.fill_buf()? {
            let size = block.len();
            body.consume(size);
            PIECES.fetch_add(1, Ordering::SeqCst);
        }
        Ok(format!("{lines} lines"))
    }
    within(|| {
        let addr = start(Server::default(), count);
        let text = "0123456789\n".repeat(1000);
        let length = format!("Content-Length: {}\r\nConnection: close\r\n", text.len());
        let answer = exchange(addr, (post("/lines", &length) + &text).as_bytes());
        assert!(answer.ends_with("1000 lines"), "{answer}");
        exchange(addr, (post("/blocks", &length) + &text).as_bytes());
        assert!((1..100).contains(&PIECES.load(Ordering::SeqCst)));
    });
}

#[test]
fn a_body_in_chunks_that_breaks_off_is_an_error_for_its_handler_and_is_logged() {
    static ERRORS: Mutex<Vec<io::ErrorKind>> = Mutex::new(Vec::new());
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn read(request: Request<Body>) -> io::Result<Vec<u8>> {
        let result = request.into_body().into_bytes();
        result.inspect_err(|error| ERRORS.lock().unwrap().push(error.kind()))
    }
    within(|| {
        let log = AccessLog::custom(|record| LINES.lock().unwrap().push(record.line().into()));
        let addr = start(Server::builder().access_log(log).build(), read);
        let head = post("/", "Transfer-Encoding: chunked\r\n");
        for (chunks, kind) in [
            ("5\r\nhel", io::ErrorKind::UnexpectedEof),
            ("5\r\nhello\r\n", io::ErrorKind::UnexpectedEof),
            ("5\r\nhello", io::ErrorKind::UnexpectedEof),
            ("5", io::ErrorKind::UnexpectedEof),
            ("5\r\nhello\r\n0\r\n", io::ErrorKind::UnexpectedEof),
            ("5\r\nhello\r\nxyz\r\n", io::ErrorKind::InvalidData),
        ] {
            let mut stream = connect(addr);
            stream
                .write_all(format!("{head}{chunks}").as_bytes())
                .unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(statuses(&read_to_end(&mut stream)), ["400"], "{chunks}");
            assert_eq!(ERRORS.lock().unwrap().pop(), Some(kind), "{chunks}");
            assert_eq!(LINES.lock().unwrap().pop().unwrap(), "POST / HTTP/1.1");
            // The server lives.
            assert_eq!(statuses(&exchange(addr, LAST.as_bytes())), ["200"]);
            LINES.lock().unwrap().clear();
        }
    });
}

#[test]
fn a_100_is_sent_at_the_first_read_whatever_the_case_of_the_expectation() {
    within(|| {
        let addr = start(Server::default(), |request| request.into_body().into_text());
        for expectation in ["100-continue", "100-Continue", "100-CONTINUE"] {
            let mut stream = connect(addr);
            let headers = format!("Content-Length: 5\r\nExpect: {expectation}\r\n");
            stream.write_all(post("/", &headers).as_bytes()).unwrap();
            let interim = read_until(&mut stream, "\r\n\r\n");
            assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
            stream.write_all(b"hello").unwrap();
            let answer = read_until(&mut stream, "hello");
            assert_eq!(statuses(&answer), ["200"]);
        }
    });
}

#[test]
fn another_expectation_is_answered_with_417_without_a_read_and_closes() {
    within(|| {
        let addr = start(Server::default(), |_| -> &'static str {
            panic!("the handler is not called");
        });
        let head = post("/", "Content-Length: 5\r\nExpect: 200-ok\r\n");
        let answer = exchange(addr, head.as_bytes());
        assert_eq!(statuses(&answer), ["417"]);
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    });
}

#[test]
fn a_handler_can_send_several_100s_with_headers() {
    fn number(n: u8) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-number", HeaderValue::from(u16::from(n)));
        // The framing of a response does not belong here.
        headers.insert("content-length", HeaderValue::from(9));
        headers
    }
    fn handler(request: Request<Body>) -> io::Result<String> {
        let mut body = request.into_body();
        let mut text = [0; 6];
        body.send_continue(&number(1))?;
        body.read_exact(&mut text[..3])?;
        body.send_continue(&number(2))?;
        body.send_continue(&HeaderMap::new())?;
        body.read_exact(&mut text[3..])?;
        // The body is at its end, so nothing is sent.
        assert_eq!(body.read(&mut [0])?, 0);
        body.send_continue(&number(3))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
    within(|| {
        let addr = start(Server::default(), handler);
        for (framing, parts) in [
            ("Content-Length: 6\r\n", ["foo", "bar"]),
            (
                "Transfer-Encoding: chunked\r\n",
                ["3\r\nfoo\r\n", "3\r\nbar\r\n0\r\n\r\n"],
            ),
        ] {
            let mut stream = connect(addr);
            let headers = format!("{framing}Expect: 100-continue\r\n");
            stream.write_all(post("/", &headers).as_bytes()).unwrap();
            let first = read_until(&mut stream, "\r\n\r\n");
            assert_eq!(first, "HTTP/1.1 100 Continue\r\nx-number: 1\r\n\r\n");
            stream.write_all(parts[0].as_bytes()).unwrap();
            let second = read_until(&mut stream, "\r\n\r\n");
            assert_eq!(second, "HTTP/1.1 100 Continue\r\nx-number: 2\r\n\r\n");
            let third = read_until(&mut stream, "\r\n\r\n");
            assert_eq!(third, "HTTP/1.1 100 Continue\r\n\r\n");
            stream.write_all(parts[1].as_bytes()).unwrap();
            let answer = read_until(&mut stream, "foobar");
            assert_eq!(statuses(&answer), ["200"], "{answer}");
            // The connection carries another request.
            let headers = "Content-Length: 6\r\nConnection: close\r\n";
            let next = post("/", headers) + "foobar";
            stream.write_all(next.as_bytes()).unwrap();
            assert_eq!(statuses(&read_to_end(&mut stream)), ["200"]);
        }
    });
}

#[test]
fn a_client_that_does_not_expect_a_100_gets_none() {
    fn handler(request: Request<Body>) -> io::Result<String> {
        let mut body = request.into_body();
        body.send_continue(&HeaderMap::new())?;
        body.into_text()
    }
    within(|| {
        let addr = start(Server::default(), handler);
        let plain = post("/", "Content-Length: 5\r\nConnection: close\r\n") + "hello";
        assert_eq!(statuses(&exchange(addr, plain.as_bytes())), ["200"]);
        // HTTP/1.0 has no 100.
        let old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(statuses(&exchange(addr, old.as_bytes())), ["200"]);
    });
}

#[test]
fn a_client_that_is_gone_before_its_100_is_not_reported() {
    static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static ERRORS: AtomicUsize = AtomicUsize::new(0);
    fn handler(request: Request<Body>) -> io::Result<String> {
        let path = request.uri().path().to_owned();
        let mut body = request.into_body();
        if path == "/first" {
            return Ok(path);
        }
        evy_runtime::sleep(Duration::from_millis(100));
        let sent = match path.as_str() {
            "/by-hand" => body.send_continue(&HeaderMap::new()),
            _ => Ok(()),
        };
        let text = sent.and_then(|()| body.into_text());
        if text.is_err() {
            ERRORS.fetch_add(1, Ordering::SeqCst);
        }
        text
    }
    within(|| {
        let report = |error: &io::Error| REPORTS.lock().unwrap().push(error.to_string());
        let server = Server::builder().on_error(report).build();
        let handle = server.handle();
        let addr = start(server, handler);
        for path in ["/by-hand", "/by-reading"] {
            let mut stream = connect(addr);
            let headers = "Content-Length: 5\r\nExpect: 100-continue\r\n";
            let requests = post("/first", "") + &post(path, headers);
            stream.write_all(requests.as_bytes()).unwrap();
            stream.peek(&mut [0]).unwrap();
            // With an unread answer, this resets the connection.
            drop(stream);
            while handle.connections() > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(ERRORS.load(Ordering::SeqCst), 2);
        assert_eq!(*REPORTS.lock().unwrap(), [""; 0]);
    });
}

#[test]
fn no_100_is_sent_after_the_response_has_begun() {
    fn handler(request: Request<Body>) -> Body {
        let mut body = request.into_body();
        Body::from_writer(move |client| {
            client.write_all(b"begun ")?;
            client.flush()?;
            body.send_continue(&HeaderMap::new())?;
            io::copy(&mut body, client).map(drop)
        })
    }
    within(|| {
        let addr = start(Server::default(), handler);
        let mut stream = connect(addr);
        let headers = "Content-Length: 5\r\nExpect: 100-continue\r\n";
        stream.write_all(post("/", headers).as_bytes()).unwrap();
        read_until(&mut stream, "begun \r\n");
        stream.write_all(b"hello").unwrap();
        let rest = read_to_end(&mut stream);
        assert_eq!(rest, "0005\r\nhello\r\n0\r\n\r\n");
    });
}

#[test]
fn the_trailers_of_a_request_are_neither_headers_nor_another_request() {
    fn headers(request: Request<Body>) -> io::Result<String> {
        let names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
        let text = request.into_body().into_text()?;
        Ok(format!("{text} {names:?}"))
    }
    within(|| {
        let addr = start(Server::default(), headers);
        let head = post("/", "Transfer-Encoding: chunked\r\n");
        let trailers = "X-Admin: yes\r\nHost: b\r\nContent-Length: 40\r\n";
        let chunks = format!("5\r\nhello\r\n0\r\n{trailers}\r\n");
        let answer = exchange(addr, format!("{head}{chunks}{LAST}").as_bytes());
        assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
        assert!(!answer.contains("x-admin"), "{answer}");
    });
}
