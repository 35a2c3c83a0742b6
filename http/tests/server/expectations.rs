//! Expectations: `100 Continue`, and what else a client may expect before it sends a body.

use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_http::{Body, HeaderMap, HeaderValue, Request, Server};
use evy_test_support::within;

use super::{connect, exchange, read_to_end, read_until, start, statuses};

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
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
