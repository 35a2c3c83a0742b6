//! How long a request may take.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Body, Client, ClientBuilder, Request, RequestOptions};
use evy_runtime::{sleep, spawn, timeout};
use evy_test_support::within;

use super::{LONG, SHORT, ok, read_head, server, text};

/// Starts a server that answers after `pause`.
fn slow(pause: Duration) -> SocketAddr {
    server(move |_, mut stream| {
        thread::spawn(move || {
            while read_head(&mut stream).is_some() {
                thread::sleep(pause);
                stream.write_all(ok("late").as_bytes()).ok();
            }
        });
    })
}

/// Checks that a request fails with `TimedOut`, long before the server answers.
fn fails_in_time(client: &Client, request: Request<Body>) {
    let start = Instant::now();
    let error = text(client.request(request)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn each_timeout_ends_a_request_and_can_be_replaced_for_one() {
    let unlimited = || {
        Client::builder()
            .timeout(Duration::MAX)
            .connect_timeout(Duration::MAX)
            .first_byte_timeout(Duration::MAX)
    };
    type Set = fn(ClientBuilder) -> ClientBuilder;
    let settings: [(Set, RequestOptions); 2] = [
        (
            |builder| builder.timeout(SHORT),
            RequestOptions::new().timeout(SHORT),
        ),
        (
            |builder| builder.first_byte_timeout(SHORT),
            RequestOptions::new().first_byte_timeout(SHORT),
        ),
    ];
    for (set, options) in settings {
        within(move || {
            let addr = slow(LONG);
            let get = || Request::get(format!("http://{addr}/"));
            fails_in_time(
                &set(unlimited()).build(),
                get().body(Body::empty()).unwrap(),
            );
            let client = unlimited().build();
            let request = get().extension(options).body(Body::empty()).unwrap();
            fails_in_time(&client, request);
            // Also while a long body is sent.
            let body = Body::from_reader(&[b'x'; 100][..]);
            let post = Request::post(format!("http://{addr}/"));
            fails_in_time(&client, post.extension(options).body(body).unwrap());
        });
    }
}

#[test]
fn the_first_byte_is_awaited_only_after_the_request_was_sent() {
    within(|| {
        let addr = server(|_, mut stream| {
            let head = read_head(&mut stream).unwrap();
            assert!(head.contains("chunked"));
            let mut end = [0; 5];
            while !end.ends_with(b"0\r\n\r\n") {
                end.rotate_left(1);
                std::io::Read::read_exact(&mut stream, &mut end[4..]).unwrap();
            }
            stream.write_all(ok("done").as_bytes()).unwrap();
        });
        let body = Body::from_writer(|server| {
            for _ in 0..5 {
                server.write_all(b"slow")?;
                server.flush()?;
                sleep(SHORT);
            }
            Ok(())
        });
        let client = Client::builder().first_byte_timeout(SHORT * 3).build();
        let request = Request::post(format!("http://{addr}/")).body(body).unwrap();
        assert_eq!(text(client.request(request)).unwrap(), "done");
    });
}

#[test]
fn the_total_time_includes_redirects() {
    within(|| {
        let addr = server(|_, mut stream| {
            while read_head(&mut stream).is_some() {
                thread::sleep(SHORT);
                let answer = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).ok();
            }
        });
        let client = Client::builder()
            .timeout(SHORT * 3)
            .max_redirects(1000)
            .build();
        let request = Request::get(format!("http://{addr}/")).body(Body::empty());
        fails_in_time(&client, request.unwrap());
    });
}

#[test]
fn a_server_that_never_accepts_is_limited_by_the_time_to_connect() {
    within(|| {
        let connector = |_: &evy_http::Destination| -> std::io::Result<evy_net::TcpStream> {
            evy_runtime::thread::park();
            unreachable!("nothing unparks it")
        };
        let client = Client::builder()
            .connect_timeout(SHORT)
            .connector(connector)
            .build();
        let request = Request::get("http://silent/").body(Body::empty()).unwrap();
        fails_in_time(&client, request);
    });
}

#[test]
fn a_timeout_of_the_program_or_a_kill_ends_a_request() {
    within(|| {
        let addr = slow(LONG);
        let client = Client::new();
        for body in ["", "x"] {
            let streamed = move || match body {
                "" => Body::empty(),
                _ => Body::from_reader(std::io::repeat(b'x')),
            };
            let request = move || {
                let url = format!("http://{addr}/");
                Request::post(url).body(streamed()).unwrap()
            };
            timeout(SHORT, || client.request(request())).unwrap_err();
            let other = client.clone();
            let requesting = spawn(move || other.request(request()).map(drop));
            sleep(SHORT);
            requesting.kill();
            assert!(requesting.join().unwrap_err().is_killed());
        }
    });
}

#[test]
fn a_late_response_is_the_same_error_for_short_and_long_requests() {
    within(|| {
        let url = format!("http://{}/", slow(LONG));
        let client = Client::builder().first_byte_timeout(SHORT).build();
        for body in [Body::empty(), Body::from_reader(&b"hello"[..])] {
            let error = text(client.post(&url, body)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert_eq!(error.to_string(), "the server took too long to respond");
        }
    });
}
