//! The bodies of requests, and the responses that come before them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Body, Client, Request, Server, StatusCode};
use evy_test_support::within;

use super::{LONG, SHORT, ok, read_head, server, text};

const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";

const LARGE: usize = 20_000_000;

/// The bodies that are too large for the buffers of the system.
fn large_bodies() -> [Body; 4] {
    let bytes = || vec![b'x'; LARGE];
    [
        bytes().into(),
        Body::from_reader(io::Cursor::new(bytes())),
        Body::sized(io::repeat(b'x'), LARGE as u64),
        Body::from_writer(move |server| server.write_all(&bytes())),
    ]
}

#[test]
fn an_early_refusal_is_returned_whatever_the_server_does_then() {
    let endings: [fn(TcpStream); 4] = [
        // It keeps the connection and reads nothing.
        |stream| drop(thread::spawn(move || (thread::sleep(LONG), stream))),
        // It closes the connection with input unread, which resets it.
        |stream| {
            thread::sleep(SHORT);
            drop(stream);
        },
        |stream| stream.shutdown(std::net::Shutdown::Write).unwrap(),
        // It reads everything.
        |mut stream| drop(io::copy(&mut stream, &mut io::sink())),
    ];
    for (number, end) in endings.into_iter().enumerate() {
        within(move || {
            let addr = server(move |_, mut stream| {
                read_head(&mut stream);
                stream.write_all(TOO_LARGE.as_bytes()).unwrap();
                end(stream);
            });
            for body in large_bodies() {
                let start = Instant::now();
                let request = Request::post(format!("http://{addr}/")).body(body).unwrap();
                let response = Client::new().request(request).unwrap();
                assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{number}");
                assert_eq!(response.into_body().into_text().unwrap(), "no", "{number}");
                assert!(start.elapsed() < LONG / 2);
            }
        });
    }
}

#[test]
fn a_connection_whose_request_was_cut_off_is_not_used_again() {
    within(|| {
        let addr = server(|number, mut stream| {
            read_head(&mut stream);
            let answer = if number == 0 {
                TOO_LARGE.into()
            } else {
                ok("new")
            };
            stream.write_all(answer.as_bytes()).unwrap();
            thread::spawn(move || (thread::sleep(LONG), stream));
        });
        let client = Client::new();
        let url = format!("http://{addr}/");
        let request = Request::post(&url).body(vec![b'x'; LARGE]).unwrap();
        assert_eq!(text(client.request(request)).unwrap(), "no");
        assert_eq!(text(client.get(&url)).unwrap(), "new");
    });
}

#[test]
fn the_rest_of_a_body_is_sent_while_the_response_to_it_is_read() {
    within(|| {
        let addr = server(|_, mut stream| {
            while let Some(head) = read_head(&mut stream) {
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: u64 = length.lines().next().unwrap().parse().unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
                let mut input = stream.try_clone().unwrap().take(length);
                io::copy(&mut input, &mut stream).unwrap();
            }
        });
        let client = Client::new();
        for _ in 0..2 {
            let request = Request::post(format!("http://{addr}/")).body(vec![b'x'; LARGE]);
            let response = client.request(request.unwrap()).unwrap();
            assert_eq!(response.into_body().into_bytes().unwrap().len(), LARGE);
        }
    });
}

#[test]
fn a_body_that_cannot_be_read_fails_the_request_at_once_and_the_server_sees_no_end() {
    for sized in [false, true] {
        within(move || {
            let (rest, received) = mpsc::channel();
            let addr = server(move |_, mut stream| {
                read_head(&mut stream);
                let mut bytes = Vec::new();
                let end = stream.read_to_end(&mut bytes).map(drop);
                rest.send((bytes, end.map_err(|error| error.kind())))
                    .unwrap();
            });
            struct Failing(usize);
            impl Read for Failing {
                fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                    self.0 += 1;
                    match self.0 {
                        1..=3 => Ok(buf.len()),
                        // The kind must not be taken for an error of the connection.
                        _ => Err(io::Error::new(
                            ErrorKind::ConnectionReset,
                            "the disk is gone",
                        )),
                    }
                }
            }
            let body = match sized {
                true => Body::sized(Failing(0), 1_000_000),
                false => Body::from_reader(Failing(0)),
            };
            let start = Instant::now();
            let request = Request::put(format!("http://{addr}/")).body(body).unwrap();
            let error = Client::new().request(request).unwrap_err();
            assert_eq!(error.to_string(), "the disk is gone");
            assert!(start.elapsed() < LONG / 2);
            let (bytes, end) = received.recv().unwrap();
            assert!(!bytes.ends_with(b"0\r\n\r\n") && bytes.len() < 1_000_000);
            assert_eq!(end, Err(ErrorKind::ConnectionReset));
        });
    }
}

#[test]
fn a_body_that_ends_too_early_fails_the_request() {
    within(|| {
        let addr = server(|_, mut stream| {
            io::copy(&mut stream, &mut io::sink()).ok();
        });
        let body = Body::sized(&b"short"[..], 10);
        let request = Request::put(format!("http://{addr}/")).body(body).unwrap();
        let error = Client::new().request(request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_body_that_panics_makes_the_request_panic() {
    within(|| {
        let addr = server(|_, mut stream| {
            io::copy(&mut stream, &mut io::sink()).ok();
        });
        let body = Body::from_writer(|_| panic!("the body panics"));
        let request = Request::put(format!("http://{addr}/")).body(body).unwrap();
        let client = Client::new();
        let panic = catch_unwind(AssertUnwindSafe(|| client.request(request).map(drop)));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"the body panics"));
    });
}

/// A body that needs more stack than a green thread has by default.
fn deep_body(depth: u32) -> Body {
    #[inline(never)]
    fn recurse(depth: u32) -> u32 {
        let frame = std::hint::black_box([depth; 256]);
        match depth {
            0 => frame[0],
            _ => recurse(depth - 1) + frame[255].min(1),
        }
    }
    Body::from_writer(move |server| write!(server, "{}", recurse(depth)))
}

/// A server that answers with the body of each request.
fn echo() -> String {
    let listener = evy_net::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    evy_runtime::spawn(move || {
        let server = Server::default();
        server.serve(listener, |request: Request<Body>| {
            request.into_body().into_text()
        })
    });
    format!("http://{addr}/")
}

#[test]
fn a_body_has_a_stack_of_the_size_that_the_client_sets() {
    within(|| {
        let client = Client::builder().stack_size(2 << 20).build();
        let response = client.post(&echo(), deep_body(600));
        assert_eq!(text(response).unwrap(), "600");
        // A stack that cannot be allocated is an error.
        let client = Client::builder().stack_size(1 << 50).build();
        let error = client.post(&echo(), deep_body(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    });
}

#[test]
fn a_body_that_overflows_its_stack_is_named_and_ends_the_process() {
    use evy_test_support::rerun_ignored;
    let output = rerun_ignored("bodies::overflows_the_stack_of_a_body").output();
    let error = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    let text = "'body of a request' has overflowed its stack of 262144 bytes";
    assert!(error.contains(text), "{error}");
}

#[test]
#[ignore = "ends the process"]
fn overflows_the_stack_of_a_body() {
    Client::new().post(&echo(), deep_body(600)).ok();
}

#[test]
fn a_dropped_response_ends_the_request() {
    within(|| {
        let (ended, end) = mpsc::channel();
        let addr = server(move |_, mut stream| {
            read_head(&mut stream);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
                .unwrap();
            let read = io::copy(&mut stream, &mut io::sink());
            ended.send(read.is_ok()).unwrap();
        });
        let body = Body::from_writer(|server| {
            loop {
                server.write_all(b"tick")?;
                server.flush()?;
                evy_runtime::sleep(Duration::from_millis(1));
            }
        });
        let request = Request::put(format!("http://{addr}/")).body(body).unwrap();
        let response = Client::new().request(request).unwrap();
        drop(response);
        end.recv_timeout(LONG).unwrap();
    });
}

/// Starts a server that answers the head of a request, and then the body if it comes. Returns what
/// it gets.
fn expecting(first: &'static str) -> (String, mpsc::Receiver<String>) {
    let (parts, received) = mpsc::channel();
    let addr = server(move |_, mut stream| {
        while let Some(head) = read_head(&mut stream) {
            parts.send(head).unwrap();
            stream.write_all(first.as_bytes()).unwrap();
            if !first.is_empty() && !first.contains(" 100 ") {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
                parts.send(String::from_utf8(rest).unwrap()).unwrap();
                return;
            }
            let mut body = [0; 5];
            stream.read_exact(&mut body).unwrap();
            parts
                .send(String::from_utf8(body.to_vec()).unwrap())
                .unwrap();
            stream.write_all(ok("done").as_bytes()).unwrap();
        }
    });
    (format!("http://{addr}/"), received)
}

fn expectant(url: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::put(url).header("expect", "100-Continue");
    request.body(body.into()).unwrap()
}

#[test]
fn a_body_that_was_asked_for_is_sent_at_once() {
    within(|| {
        let (url, parts) = expecting("HTTP/1.1 100 Continue\r\n\r\n");
        let client = Client::builder().continue_timeout(Duration::MAX).build();
        let response = client.request(expectant(&url, "hello"));
        assert_eq!(text(response).unwrap(), "done");
        assert!(parts.recv().unwrap().contains("expect: 100-Continue\r\n"));
        assert_eq!(parts.recv().unwrap(), "hello");
        // The connection can be used again.
        let streamed = Body::sized(&b"again"[..], 5);
        assert_eq!(
            text(client.request(expectant(&url, streamed))).unwrap(),
            "done"
        );
    });
}

#[test]
fn a_body_that_a_server_does_not_ask_for_is_sent_after_a_while() {
    within(|| {
        let (url, parts) = expecting("");
        let client = Client::builder().continue_timeout(SHORT).build();
        assert_eq!(
            text(client.request(expectant(&url, "hello"))).unwrap(),
            "done"
        );
        assert_eq!(parts.try_iter().last().unwrap(), "hello");
    });
}

#[test]
fn a_body_that_was_refused_is_not_sent() {
    within(|| {
        let (url, parts) = expecting(TOO_LARGE);
        let client = Client::builder().continue_timeout(Duration::MAX).build();
        let response = client.request(expectant(&url, "hello")).unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        drop(response);
        assert_eq!(parts.iter().take(2).last().unwrap(), "");
        // Without a body there is nothing to ask for.
        let (url, parts) = expecting(TOO_LARGE);
        let request = Request::get(&url).header("expect", "100-continue").body(());
        client.request(request.unwrap()).unwrap();
        assert!(!parts.recv().unwrap().contains("expect"));
    });
}

#[test]
fn a_request_is_not_repeated_after_the_server_has_asked_for_its_body() {
    within(|| {
        let (heads, seen) = mpsc::channel();
        let addr = server(move |_, mut stream| {
            for answer in [&*ok("first"), "HTTP/1.1 100 Continue\r\n\r\n"] {
                heads.send(read_head(&mut stream)).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
            let mut body = [0; 5];
            stream.read_exact(&mut body).unwrap();
        });
        let client = Client::new();
        let url = format!("http://{addr}/");
        assert_eq!(text(client.get(&url)).unwrap(), "first");
        let error = client.request(expectant(&url, "hello")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(seen.try_iter().count(), 2);
    });
}

#[test]
fn a_handler_can_pass_a_body_on_while_it_arrives() {
    within(|| {
        // Reads everything before it answers, or echoes while it reads.
        for echoes in [false, true] {
            for length in [100_000, 4_000_000] {
                let upstream = server(move |_, mut stream| {
                    read_head(&mut stream).unwrap();
                    let mut input = stream.try_clone().unwrap().take(length);
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    if echoes {
                        stream.write_all(head.as_bytes()).unwrap();
                        io::copy(&mut input, &mut stream).unwrap();
                    } else {
                        let mut body = Vec::new();
                        input.read_to_end(&mut body).unwrap();
                        stream.write_all(head.as_bytes()).unwrap();
                        stream.write_all(&body).unwrap();
                    }
                });
                let listener = evy_net::listen("127.0.0.1:0").unwrap();
                let addr = listener.local_addr().unwrap();
                let proxy = evy_runtime::spawn(move || {
                    let server = Server::builder().max_body_bytes(u64::MAX).build();
                    server.serve(listener, move |request: Request<Body>| {
                        let request = Request::put(format!("http://{upstream}/"))
                            .body(request.into_body())
                            .unwrap();
                        Client::new().request(request)
                    })
                });
                let body = vec![b'x'; length as usize];
                let request = Request::put(format!("http://{addr}/")).body(body).unwrap();
                let response = Client::new().request(request).unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                let echoed = response.into_body().into_bytes().unwrap();
                assert_eq!(echoed.len() as u64, length, "{echoes}");
                proxy.kill();
            }
        }
    });
}
