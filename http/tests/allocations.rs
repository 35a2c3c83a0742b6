//! How much a server allocates: for each request, and for each idle connection.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the client is on an OS thread of its own, and a failed helper is a failed test"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;

use evy_http::{Body, Request, Response, Server};
use evy_test_support::{CountingAllocator, within};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 60 * 1024;

/// Answers `/counts` with what the OS thread of the server has allocated.
fn handler(request: Request<Body>) -> Result<Response<Body>, evy_http::Error> {
    let (allocations, live) = CountingAllocator::counts();
    let body = match request.uri().path() {
        "/counts" => Body::from(format!("{allocations} {live}")),
        "/large" => Body::from("x".repeat(LARGE)),
        _ => Body::from("Hello, World!"),
    };
    Response::builder()
        .header("content-type", "text/plain")
        .body(body)
}

fn start() -> SocketAddr {
    let (started, addr) = mpsc::channel();
    thread::spawn(move || {
        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        started.send(listener.local_addr().unwrap()).unwrap();
        Server::default().serve(listener, handler)
    });
    addr.recv().unwrap()
}

/// Sends a request, and returns the body of the answer.
fn get(stream: &mut TcpStream, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:8000\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    loop {
        let mut piece = vec![0; 2 * LARGE];
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the server closed the connection");
        answer.extend_from_slice(&piece[..read]);
        let text = str::from_utf8(&answer).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split("content-length: ").nth(1).unwrap();
        if length.split("\r\n").next().unwrap() == body.len().to_string() {
            return body.to_owned();
        }
    }
}

/// Returns the number of allocations of the server so far, and of bytes that it has allocated.
fn counts(stream: &mut TcpStream) -> (usize, isize) {
    let answer = get(stream, "/counts", "");
    let (allocations, live) = answer.split_once(' ').unwrap();
    (allocations.parse().unwrap(), live.parse().unwrap())
}

fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).unwrap()
}

#[test]
fn a_request_allocates_only_what_the_types_of_http_need() {
    within(|| {
        let mut stream = connect(start());
        let mut allocations = |headers: &str| {
            get(&mut stream, "/", headers);
            let before = counts(&mut stream).0;
            for _ in 0..100 {
                get(&mut stream, "/", headers);
            }
            let after = counts(&mut stream).0;
            // The two requests for the counts allocate a little more than the others.
            (after - before) / 100
        };
        // The extensions, their table and the peer in them; the header map of the response, which has
        // two parts, and its value. `Host` is that of the request before.
        assert_eq!(allocations(""), 6);
        // A value each, and room in a header map that is not reused.
        assert!(allocations("Accept: */*\r\nUser-Agent: curl/8\r\n") <= 8 + 2);
    });
}

#[test]
fn an_idle_connection_keeps_no_buffers() {
    within(|| {
        let addr = start();
        let padding = format!("X: {}\r\n", "x".repeat(24 * 1024));
        for (path, headers) in [("/", ""), ("/large", ""), ("/", padding.as_str())] {
            let mut probe = connect(addr);
            let open = || {
                let mut stream = connect(addr);
                get(&mut stream, path, headers);
                stream
            };
            let warm: Vec<_> = (0..10).map(|_| open()).collect();
            let before = counts(&mut probe).1;
            let idle: Vec<_> = (0..200).map(|_| open()).collect();
            let each = (counts(&mut probe).1 - before) / 200;
            assert!(each < 2000, "{each} bytes after {path}");
            drop((warm, idle));
        }
    });
}
