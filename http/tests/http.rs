//! HTTP over loopback: evy's client with servers that send exact bytes, raw clients with evy's
//! server, and both together.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the other side is on OS threads of its own, and a failed helper is a failed test"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{self as http, Body, Client, Request, Response, Server, StatusCode};
use evy_test_support::within;

/// Starts a server that answers the requests of each connection with the given bytes, in order, and
/// then closes the connection. Returns its URL and the heads that it receives.
fn scripted<const N: usize>(
    connections: [&'static [&'static str]; N],
) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (heads, received) = mpsc::channel();
    thread::spawn(move || {
        for answers in connections {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                let Some(head) = read_head(&mut stream) else {
                    break;
                };
                heads.send(head).ok();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (url, received)
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Starts a server on an OS thread of its own, and returns its address.
fn start(server: Server, handler: fn(Request<Body>) -> io::Result<Response<Body>>) -> SocketAddr {
    let (started, addr) = mpsc::channel();
    thread::spawn(move || {
        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        started.send(listener.local_addr().unwrap()).unwrap();
        server.serve(listener, handler)
    });
    addr.recv().unwrap()
}

fn echo(request: Request<Body>) -> io::Result<Response<Body>> {
    match request.uri().path() {
        "/panic" => panic!("the request asked for a panic"),
        "/error" => Err(io::Error::other("the request asked for an error")),
        "/stream" => Ok(Response::new(request.into_body())),
        path => {
            let text = format!("{} {path} ", request.method());
            Ok(Response::new(
                (text + &request.into_body().into_text()?).into(),
            ))
        }
    }
}

fn get_text(client: &Client, url: &str) -> io::Result<String> {
    client.get(url)?.into_body().into_text()
}

/// Sends `bytes` to a server, and returns what it sends until it closes the connection.
fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn get_returns_the_response_of_the_server() {
    within(|| {
        let (url, heads) =
            scripted([&["HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"]]);
        let response = http::get(&format!("{url}/a?b=c#d")).unwrap();
        assert_eq!(
            (response.status(), &response.headers()["x"]),
            (StatusCode::OK, &"y".parse().unwrap())
        );
        assert_eq!(response.into_body().into_text().unwrap(), "hello");
        let host = url.trim_start_matches("http://");
        let expected = format!(
            "GET /a?b=c HTTP/1.1\r\nhost: {host}\r\nuser-agent: evy/{}\r\nconnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(heads.recv().unwrap(), expected);
    });
}

#[test]
fn each_way_to_end_a_body_is_supported() {
    within(|| {
        let (url, _heads) = scripted([
            &[
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            ],
            &[
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nhel\r\n2\r\nlo\r\n0\r\nT: t\r\n\r\n",
            ],
            &["HTTP/1.0 200 OK\r\n\r\nhello"],
        ]);
        for _ in 0..3 {
            assert_eq!(
                http::get(&url).unwrap().into_body().into_text().unwrap(),
                "hello"
            );
        }
    });
}

#[test]
fn a_connection_is_reused_once_its_body_has_been_read() {
    within(|| {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        const LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb";
        const NONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";
        const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
        let (url, _heads) = scripted([&[NONE, HEAD, ANSWER, ANSWER], &[LAST]]);
        let client = Client::new();
        assert_eq!(get_text(&client, &url).unwrap(), "");
        let head = Request::head(&url).body(()).unwrap();
        assert_eq!(
            client
                .request(head)
                .unwrap()
                .into_body()
                .into_text()
                .unwrap(),
            ""
        );
        let clone = client.clone();
        assert_eq!(get_text(&clone, &url).unwrap(), "a");
        let unread = client.get(&url).unwrap();
        // The body of `unread` has not been read, so this request uses another connection.
        assert_eq!(get_text(&client, &url).unwrap(), "b");
        assert_eq!(unread.into_body().into_text().unwrap(), "a");
    });
}

#[test]
fn a_connection_is_not_reused_after_close_or_unsolicited_bytes() {
    within(|| {
        let (url, _heads) = scripted([
            &["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1"],
            &["HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n2"],
            &[
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3HTTP/1.1 200 OK\r\n\r\n",
                "evil",
            ],
            &["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n4", "evil"],
            &["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n5"],
        ]);
        let client = Client::new();
        for expected in ["1", "2", "3"] {
            assert_eq!(get_text(&client, &url).unwrap(), expected);
        }
        let last = Request::get(&url)
            .header("connection", "close")
            .body(())
            .unwrap();
        assert_eq!(
            client
                .request(last)
                .unwrap()
                .into_body()
                .into_text()
                .unwrap(),
            "4"
        );
        assert_eq!(get_text(&client, &url).unwrap(), "5");
    });
}

#[test]
fn no_request_is_lost_when_a_kept_connection_has_been_closed() {
    within(|| {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        let (url, heads) = scripted([&[ANSWER], &[ANSWER], &[ANSWER]]);
        let client = Client::new();
        assert_eq!(get_text(&client, &url).unwrap(), "a");
        assert_eq!(get_text(&client, &url).unwrap(), "a");
        // A POST is not idempotent and must not be sent twice, so the client checks the connection
        // before. The pause lets the end of the connection arrive.
        thread::sleep(Duration::from_millis(50));
        let post = Request::post(&url).body("x").unwrap();
        assert_eq!(client.request(post).unwrap().status(), StatusCode::OK);
        assert_eq!(heads.try_iter().count(), 3);
    });
}

#[test]
fn a_request_that_is_not_idempotent_is_not_repeated() {
    within(|| {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        let (url, heads) = scripted([&[ANSWER, ""], &[ANSWER]]);
        let client = Client::new();
        assert_eq!(get_text(&client, &url).unwrap(), "a");
        let post = Request::post(&url).body("x").unwrap();
        assert!(client.request(post).is_err());
        assert_eq!(heads.try_iter().count(), 2);
    });
}

#[test]
fn an_error_message_names_the_exceeded_limit() {
    for (answer, limit) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "max_body_bytes",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "max_body_bytes",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "max_body_bytes"),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nE: f\r\n\r\n",
            "max_headers",
        ),
        (
            "HTTP/1.1 200 OK\r\nA: 01234567890123456789012345678901234567890123456789\r\n\r\n",
            "max_head_bytes",
        ),
    ] {
        within(move || {
            let (url, _heads) = scripted([Vec::leak(vec![answer])]);
            let client = Client::builder()
                .max_body_bytes(4)
                .max_headers(2)
                .max_head_bytes(60)
                .build();
            let error = client
                .get(&url)
                .and_then(|response| response.into_body().into_bytes());
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{answer:?}");
            assert!(error.to_string().contains(limit), "{error} for {answer:?}");
        });
    }
}

#[test]
fn a_slow_response_does_not_extend_the_timeout() {
    within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                .unwrap();
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let start = Instant::now();
        let client = Client::builder()
            .timeout(Duration::from_millis(200))
            .build();
        let error = get_text(&client, &url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let took = start.elapsed();
        assert!((190..2000).contains(&took.as_millis()), "{took:?}");
    });
}

#[test]
fn requests_that_are_rejected_do_not_starve_other_green_threads() {
    within(|| {
        let other = evy_runtime::spawn(|| (0..100).for_each(|_| evy_runtime::yield_now()));
        while !other.is_finished() {
            http::get("http://localhost/a b").unwrap_err();
        }
    });
}

#[test]
fn a_response_sent_before_the_request_is_complete_is_returned() {
    within(|| {
        let addr = start(Server::builder().max_body_bytes(10).build(), echo);
        let body = Body::from_reader(io::repeat(b'x').take(300_000));
        let request = Request::post(format!("http://{addr}/")).body(body).unwrap();
        let response = Client::new().request(request).unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    });
}

#[test]
fn bodies_of_every_kind_and_size_are_echoed_unchanged() {
    within(|| {
        let addr = start(Server::builder().max_body_bytes(u64::MAX).build(), echo);
        let client = Client::new();
        for size in [0, 1, 16 * 1024, 16 * 1024 + 1, 64 * 1024 + 1, 1_000_000] {
            let bytes: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
            let streamed = Body::from_reader(io::Cursor::new(bytes.clone()));
            for body in [Body::from(bytes.clone()), streamed] {
                let request = Request::post(format!("http://{addr}/stream"))
                    .body(body)
                    .unwrap();
                let echoed = client
                    .request(request)
                    .unwrap()
                    .into_body()
                    .into_bytes()
                    .unwrap();
                assert!(echoed == bytes, "{size}");
            }
        }
    });
}

#[test]
fn a_handler_that_fails_or_panics_affects_only_its_own_request() {
    within(|| {
        let addr = start(Server::default(), echo);
        let client = Client::new();
        let error = client.get(&format!("http://{addr}/error")).unwrap();
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let panicked = client.get(&format!("http://{addr}/panic")).unwrap();
        assert_eq!(panicked.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            get_text(&client, &format!("http://{addr}/x")).unwrap(),
            "GET /x "
        );
    });
}

#[test]
fn a_server_answers_pipelined_requests_in_order() {
    within(|| {
        let addr = start(Server::default(), echo);
        let answer = raw(
            addr,
            b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        let (first, second) = (
            answer.find("GET /1").unwrap(),
            answer.find("GET /2").unwrap(),
        );
        assert!(
            first < second && answer.contains("connection: close"),
            "{answer}"
        );
    });
}

#[test]
fn a_server_closes_slow_and_silent_connections() {
    within(|| {
        let short = Duration::from_millis(100);
        let server = Server::builder()
            .head_timeout(short)
            .idle_timeout(short)
            .build();
        let addr = start(server, echo);
        assert!(raw(addr, b"GET / HT").starts_with("HTTP/1.1 408 "));
        let answer = raw(addr, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.ends_with("GET / "), "{answer}");

        let mut drip = TcpStream::connect(addr).unwrap();
        let start = Instant::now();
        while drip.write_all(b"x").is_ok() {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "a slow client was not disconnected"
            );
            thread::sleep(Duration::from_millis(20));
        }
    });
}
