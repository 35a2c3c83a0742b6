//! Request bodies: how a handler can read them, and how they end.

use std::io::{self, BufRead, Read, Write};
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use evy_http::{AccessLog, Body, Request, Server};
use evy_test_support::within;

use super::{connect, exchange, read_to_end, start, statuses};

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
