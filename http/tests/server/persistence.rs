//! Which connections carry another request, and what their responses say of that.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Server};
use evy_test_support::within;

use super::{connect, exchange, read_until, start, statuses};

fn path(request: Request<Body>) -> String {
    request.uri().path().to_owned()
}

#[test]
fn an_http_1_0_connection_ends_with_its_response() {
    within(|| {
        let addr = start(Server::default(), path);
        let answer = exchange(addr, b"GET /one HTTP/1.0\r\n\r\nGET /two HTTP/1.0\r\n\r\n");
        assert_eq!(statuses(&answer), ["200"]);
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    });
}

#[test]
fn an_http_1_0_connection_stays_open_on_request_which_the_response_repeats() {
    within(|| {
        let addr = start(Server::default(), path);
        let mut stream = connect(addr);
        for word in ["keep-alive", "Keep-Alive", "x, KEEP-ALIVE"] {
            let request = format!("GET /one HTTP/1.0\r\nConnection: {word}\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let answer = read_until(&mut stream, "/one");
            assert!(answer.contains("connection: keep-alive\r\n"), "{answer}");
        }
    });
}

#[test]
fn an_http_1_1_connection_stays_open_until_a_request_closes_it_which_the_response_repeats() {
    within(|| {
        let addr = start(Server::default(), path);
        let mut stream = connect(addr);
        for _ in 0..3 {
            stream
                .write_all(b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            let answer = read_until(&mut stream, "/one");
            assert!(!answer.contains("connection:"), "{answer}");
        }
        stream
            .write_all(b"GET /two HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n")
            .unwrap();
        let answer = super::read_to_end(&mut stream);
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.ends_with("/two"), "{answer}");
    });
}

#[test]
fn a_body_that_the_handler_ignores_is_not_read_as_a_request() {
    within(|| {
        let addr = start(Server::default(), path);
        let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = inner.len();
        for body in [
            format!("Content-Length: {length}\r\n\r\n{inner}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"),
        ] {
            let last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let requests = format!("POST /first HTTP/1.1\r\nHost: a\r\n{body}{last}");
            let answer = exchange(addr, requests.as_bytes());
            assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
            assert!(answer.contains("/first") && answer.ends_with("/last"));
            assert!(!answer.contains("/inner"), "{answer}");
        }
    });
}

#[test]
fn a_body_behind_an_expectation_that_the_handler_ignores_ends_the_connection() {
    within(|| {
        let addr = start(Server::default(), path);
        let head = "POST /one HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
        for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let answer = exchange(addr, format!("{head}{framing}\r\n\r\n").as_bytes());
            assert_eq!(statuses(&answer), ["200"], "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
    });
}

#[test]
fn a_request_without_framing_has_an_empty_body_and_its_connection_stays_open() {
    fn read(request: Request<Body>) -> String {
        let length = request.body().length();
        let text = request.into_body().into_text().unwrap();
        format!("{length:?} {text:?}")
    }
    within(|| {
        let addr = start(Server::default(), read);
        let mut stream = connect(addr);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            read_until(&mut stream, "\r\n\r\nSome(0) \"\"");
        }
    });
}

#[test]
fn the_idle_timeout_is_announced_and_ends_the_connection() {
    within(|| {
        let server = Server::builder().idle_timeout(Duration::from_secs(1));
        let addr = start(server.build(), path);
        let mut stream = connect(addr);
        let start = Instant::now();
        for _ in 0..2 {
            stream
                .write_all(b"GET /one HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
                .unwrap();
            let answer = read_until(&mut stream, "/one");
            assert!(answer.contains("keep-alive: timeout=1\r\n"), "{answer}");
        }
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert!(start.elapsed() >= Duration::from_millis(990));
    });
}

#[test]
fn with_an_idle_timeout_of_zero_a_connection_serves_one_request() {
    within(|| {
        let server = Server::builder().idle_timeout(Duration::ZERO);
        let addr = start(server.build(), path);
        for request in [
            "GET /one HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            "GET /one HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        ] {
            let answer = exchange(addr, request.repeat(2).as_bytes());
            assert_eq!(statuses(&answer), ["200"]);
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            assert!(!answer.contains("keep-alive"), "{answer}");
        }
    });
}
