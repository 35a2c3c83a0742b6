//! HTTP over loopback: framing, keep-alive, limits, bad input, clients that misbehave.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../runtime/tests/common/mod.rs"]
mod common;

use std::cell::Cell;
use std::io::{Cursor, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evy_net::http::{Body, Client, IntoResponse, Request, Response, Server, StatusCode, get};
use evy_net::{TcpStream, connect, listen};
use evy_runtime::{sleep, spawn_n};

const SHORT: Duration = Duration::from_millis(20);

/// A test of its own OS thread, with its servers ended in order.
fn within(body: impl FnOnce() + Send + 'static) {
    common::within(|| {
        body();
        evy_runtime::shutdown(Duration::ZERO);
    });
}

/// Serves on a green thread of its own.
fn serve<R: IntoResponse>(
    server: Server,
    handler: impl Fn(Request<Body>) -> R + 'static,
) -> SocketAddr {
    let listener = listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    spawn_n(move || drop(server.serve(listener, handler)));
    addr
}

/// Sends raw bytes, and reads all that comes back until the server closes.
fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Answers every connection with the same bytes, then closes.
fn canned(answer: &'static [u8]) -> String {
    let listener = listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    spawn_n(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok_and(|n| n > 0) {
                stream.write_all(answer).unwrap();
            }
        }
    });
    format!("http://{addr}/")
}

fn echo(request: Request<Body>) -> Response<Body> {
    Response::new(request.into_body())
}

#[test]
fn bodies_of_both_framings_go_both_ways() {
    within(|| {
        let addr = serve(Server::new(), echo);
        let client = Client::new();
        let large = "x".repeat(300_000);
        let sized = Request::post(format!("http://{addr}/"))
            .body(large.clone())
            .unwrap();
        assert_eq!(
            client
                .request(sized)
                .unwrap()
                .into_body()
                .into_text()
                .unwrap(),
            large
        );
        let unsized_body = Body::from_reader(Cursor::new(large.clone()));
        let chunked = Request::post(format!("http://{addr}/"))
            .body(unsized_body)
            .unwrap();
        assert_eq!(
            client
                .request(chunked)
                .unwrap()
                .into_body()
                .into_text()
                .unwrap(),
            large
        );
    });
}

#[test]
fn keepalive() {
    within(|| {
        let connections = Rc::new(Cell::new(0));
        let listener = listen("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let count = Rc::clone(&connections);
        // A front that counts connections.
        spawn_n(move || {
            let back = serve(Server::new(), |_| Response::new("hello"));
            while let Ok((front, _)) = listener.accept() {
                count.set(count.get() + 1);
                pump(front, connect(back).unwrap());
            }
        });
        let client = Client::new();
        for _ in 0..5 {
            let response = client.get(&url).unwrap();
            assert_eq!(response.into_body().into_text().unwrap(), "hello");
        }
        assert_eq!(connections.get(), 1);
    });
}

/// Copies both ways.
fn pump(a: TcpStream, b: TcpStream) {
    for (mut from, mut to) in [(a.try_clone().unwrap(), b.try_clone().unwrap()), (b, a)] {
        spawn_n(move || drop(std::io::copy(&mut from, &mut to)));
    }
}

#[test]
fn a_stale_kept_connection_is_replaced() {
    within(|| {
        let url = canned(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let client = Client::new();
        for _ in 0..3 {
            // The server closes after each answer, without saying so.
            assert_eq!(
                client.get(&url).unwrap().into_body().into_text().unwrap(),
                "ok"
            );
            sleep(SHORT);
        }
    });
}

#[test]
fn http10_closes_and_keepalive_is_honoured() {
    within(|| {
        let addr = serve(Server::new(), |_| Response::new("hello"));
        let old = raw(addr, b"GET / HTTP/1.0\r\n\r\n");
        assert!(
            old.contains("connection: close") && old.ends_with("hello"),
            "{old}"
        );
        let two = raw(
            addr,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(two.matches("HTTP/1.1 200 OK").count(), 2, "{two}");
        assert_eq!(two.matches("connection: close").count(), 1, "{two}");
    });
}

#[test]
fn framing_unread_body() {
    within(|| {
        let addr = serve(Server::new(), |_| Response::new("ignored"));
        let two = raw(
            addr,
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n\
              GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(two.matches("HTTP/1.1 200 OK").count(), 2, "{two}");
    });
}

#[test]
fn strict_framing_answers_400_and_closes() {
    within(|| {
        let addr = serve(Server::new(), echo);
        let bad: [&[u8]; 6] = [
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"not http at all\r\n\r\n",
        ];
        for request in bad {
            let answer = raw(addr, request);
            assert!(
                answer.starts_with("HTTP/1.1 400 "),
                "{}: {answer}",
                request.escape_ascii()
            );
            assert_eq!(answer.matches("HTTP/1.1").count(), 1);
        }
    });
}

#[test]
fn limits() {
    within(|| {
        let server = Server::new().max_target(50).max_head(500, 5).max_body(10);
        let addr = serve(server, |request: Request<Body>| {
            request.into_body().into_text().map(Response::new)
        });
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100));
        assert!(raw(addr, long.as_bytes()).starts_with("HTTP/1.1 414 "));
        let large = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
            "x".repeat(1000)
        );
        assert!(raw(addr, large.as_bytes()).starts_with("HTTP/1.1 431 "));
        let body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n";
        assert!(raw(addr, body).starts_with("HTTP/1.1 413 "));
    });
}

#[test]
fn expect_100() {
    within(|| {
        let addr = serve(Server::new(), echo);
        let mut stream = connect(addr).unwrap();
        let head =
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
        stream.write_all(head).unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"ok").unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    });
}

#[test]
fn no_body_statuses_and_head() {
    within(|| {
        let addr = serve(Server::new(), |request: Request<Body>| {
            let mut response = Response::new("body");
            if request.uri().path() == "/204" {
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            response
        });
        let head = raw(
            addr,
            b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        assert!(
            head.contains("content-length: 4") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        let none = raw(
            addr,
            b"GET /204 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        assert!(
            !none.contains("content-length") && none.ends_with("\r\n\r\n"),
            "{none}"
        );
    });
}

#[test]
fn app_error_and_panic_cost_nobody_else_anything() {
    within(|| {
        let addr = serve(Server::new(), |request: Request<Body>| {
            match request.uri().path() {
                "/error" => Err(std::io::Error::other("broken")),
                "/panic" => std::panic::resume_unwind(Box::new("handler")),
                _ => Ok(Response::new("fine")),
            }
        });
        let error = raw(
            addr,
            b"GET /error HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        assert!(error.starts_with("HTTP/1.1 500 "), "{error}");
        assert_eq!(raw(addr, b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n"), "");
        let fine = get(&format!("http://{addr}/")).unwrap();
        assert_eq!(fine.into_body().into_text().unwrap(), "fine");
    });
}

#[test]
fn aborted_chunked_in() {
    within(|| {
        let seen = Rc::new(Cell::new(None));
        let kind = Rc::clone(&seen);
        let addr = serve(Server::new(), move |request: Request<Body>| {
            kind.set(
                request
                    .into_body()
                    .into_bytes()
                    .err()
                    .map(|error| error.kind()),
            );
            Response::new("")
        });
        let mut stream = connect(addr).unwrap();
        let part = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe";
        stream.write_all(part).unwrap();
        drop(stream);
        while seen.get().is_none() {
            sleep(SHORT);
        }
        assert_eq!(seen.get(), Some(ErrorKind::UnexpectedEof));
    });
}

#[test]
fn half_a_request_then_silence_is_closed() {
    within(|| {
        let server = Server::new()
            .head_timeout(SHORT * 20)
            .idle_timeout(SHORT * 20);
        let addr = serve(server, |_| Response::new(""));
        assert_eq!(raw(addr, b"GET / HT"), "");
        assert_eq!(raw(addr, b""), "");
    });
}

#[test]
fn the_client_reads_every_framing() {
    within(|| {
        let cases: [(&[u8], &str); 4] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: x\r\n\r\n", "ok"),
            (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end"),
            (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
        ];
        for (wire, expected) in cases {
            let response = get(&canned(wire)).unwrap();
            assert_eq!(response.into_body().into_text().unwrap(), expected);
        }
    });
}

#[test]
fn the_client_tells_what_is_wrong() {
    within(|| {
        let kind_of = |wire| {
            let body = get(&canned(wire)).and_then(|response| response.into_body().into_bytes());
            body.unwrap_err().kind()
        };
        assert_eq!(
            kind_of(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
            ErrorKind::UnexpectedEof
        );
        assert_eq!(kind_of(b"HTTP/1.1 200"), ErrorKind::UnexpectedEof);
        assert_eq!(kind_of(b"nonsense\r\n\r\n"), ErrorKind::InvalidData);
        assert_eq!(
            kind_of(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            ErrorKind::InvalidData
        );
        assert_eq!(
            get("https://127.0.0.1/").unwrap_err().kind(),
            ErrorKind::Unsupported
        );
        assert_eq!(get("no url").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(
            get("http://user@127.0.0.1/").unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn a_body_over_the_limit_is_an_error() {
    within(|| {
        let url = canned(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nxxxxxxxxxxxxxxxxxxxx");
        let client = Client::builder().max_body(10).build();
        let error = client
            .get(&url)
            .unwrap()
            .into_body()
            .into_bytes()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    });
}

#[test]
fn a_slow_drip_does_not_stretch_the_timeout() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        spawn_n(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                .unwrap();
            while stream.write_all(b"x").is_ok() {
                sleep(Duration::from_millis(2));
            }
        });
        let client = Client::builder().timeout(SHORT * 3).build();
        let error = client
            .get(&url)
            .and_then(|r| r.into_body().into_bytes())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}
