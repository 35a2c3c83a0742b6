//! Responses: how their bodies are framed and sent.

use std::io::{self, Read, Write};
use std::time::Duration;

use evy_http::{Body, Request, Response, Server};
use evy_net::Stream;
use evy_test_support::within;

use super::{exchange, start};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const GET_1_0: &[u8] = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

/// Returns the head and the body of an answer.
fn parts(answer: &str) -> (&str, &str) {
    let at = answer.find("\r\n\r\n").unwrap() + 4;
    answer.split_at(at)
}

#[test]
fn a_body_of_unknown_length_is_never_sent_in_chunks_to_http_1_0_and_ends_with_the_connection() {
    within(|| {
        let addr = start(Server::default(), |_| Body::from_reader(&b"hello"[..]));
        let answer = exchange(addr, GET);
        let (head, body) = parts(&answer);
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{answer}");
        assert_eq!(body, "0005\r\nhello\r\n0\r\n\r\n");
        let answer = exchange(addr, GET_1_0);
        let (head, body) = parts(&answer);
        assert!(head.contains("connection: close\r\n"), "{answer}");
        assert!(
            !head.contains("transfer-encoding") && !head.contains("content-length"),
            "{answer}"
        );
        assert_eq!(body, "hello");
    });
}

#[test]
fn empty_pieces_of_a_body_are_no_chunks_and_an_empty_body_has_only_the_last_chunk() {
    fn handler(request: Request<Body>) -> Body {
        match request.uri().path() {
            "/reader" => Body::from_reader(io::empty()),
            "/nothing" => Body::from_writer(|_| Ok(())),
            "/flushes" => Body::from_writer(|client| {
                client.flush()?;
                client.write_all(b"")?;
                client.flush()
            }),
            _ => Body::from_writer(|client| {
                for text in ["", "a", "", "", "b", ""] {
                    client.write_all(text.as_bytes())?;
                    client.flush()?;
                }
                Ok(())
            }),
        }
    }
    within(|| {
        let addr = start(Server::default(), handler);
        for path in ["/reader", "/nothing", "/flushes", "/pieces"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = exchange(addr, request.as_bytes());
            let expected = match path {
                "/pieces" => "0001\r\na\r\n0001\r\nb\r\n0\r\n\r\n",
                _ => "0\r\n\r\n",
            };
            assert_eq!(parts(&answer).1, expected, "{path}");
        }
    });
}

#[test]
fn small_writes_are_joined_into_one_chunk_unless_a_response_flushes_each() {
    fn handler(request: Request<Body>) -> Body {
        let flushes = request.uri().path() == "/flush";
        Body::from_writer(move |client| {
            for _ in 0..100 {
                client.write_all(b"0123456789")?;
                if flushes {
                    client.flush()?;
                }
            }
            Ok(())
        })
    }
    within(|| {
        let (one, other) = (
            start(Server::default(), handler),
            start(Server::default(), handler),
        );
        // What one response does concerns no other one, on this server or another.
        for (addr, path, chunks) in [
            (one, "/", 1),
            (one, "/flush", 100),
            (other, "/", 1),
            (one, "/", 1),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = exchange(addr, request.as_bytes());
            let size = format!("{:04x}\r\n0", 1000 / chunks);
            assert_eq!(parts(&answer).1.matches(&size).count(), chunks, "{path}");
            assert_eq!(answer.matches("0123456789").count(), 100);
        }
    });
}

#[test]
fn a_large_body_in_small_writes_is_sent_in_large_chunks() {
    within(|| {
        let addr = start(Server::default(), |_| {
            Body::from_writer(|client| {
                (0..100_000).try_for_each(|_| client.write_all(b"0123456789"))
            })
        });
        let answer = exchange(addr, GET);
        assert!(parts(&answer).1.lines().count() < 200);
    });
}

#[test]
fn a_response_has_one_content_length_whatever_the_handler_sets() {
    fn handler(request: Request<Body>) -> Response<Body> {
        let response = Response::builder().header("content-length", "5");
        match request.uri().path() {
            "/same" => response.body("hello".into()),
            "/wrong" => response.body("more than that".into()),
            "/twice" => response.header("content-length", "5").body("hello".into()),
            "/chunked" => response
                .header("transfer-encoding", "chunked")
                .body("hello".into()),
            _ => response.body(Body::from_reader(&b"hello"[..])),
        }
        .unwrap()
    }
    within(|| {
        let addr = start(Server::default(), handler);
        for path in ["/same", "/wrong", "/twice", "/chunked", "/reader"] {
            for method in ["GET", "HEAD"] {
                let request =
                    format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                let answer = exchange(addr, request.as_bytes());
                let (head, body) = parts(&answer);
                let length = if path == "/wrong" { 14 } else { 5 };
                let line = format!("content-length: {length}\r\n");
                assert_eq!(head.matches("content-length").count(), 1, "{path}");
                assert!(head.contains(&line), "{path}: {answer}");
                assert!(!head.contains("transfer-encoding"), "{path}: {answer}");
                let sent = if method == "HEAD" { 0 } else { length };
                assert_eq!(body.len(), sent, "{path}: {answer}");
            }
        }
    });
}

#[test]
fn what_a_callback_writes_has_the_declared_length_or_is_sent_in_chunks() {
    fn handler(request: Request<Body>) -> Response<Body> {
        let body = Body::from_writer(|client| {
            client.write_all(b"hello ")?;
            client.write_all(b"world")
        });
        let response = match request.uri().path() {
            "/declared" => Response::builder().header("content-length", 11),
            _ => Response::builder(),
        };
        response.body(body).unwrap()
    }
    within(|| {
        let addr = start(Server::default(), handler);
        for (path, framing, body) in [
            ("/declared", "content-length: 11\r\n", "hello world"),
            (
                "/chunked",
                "transfer-encoding: chunked\r\n",
                "000b\r\nhello world\r\n0\r\n\r\n",
            ),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = exchange(addr, request.as_bytes());
            assert!(parts(&answer).0.contains(framing), "{answer}");
            assert_eq!(parts(&answer).1, body);
        }
    });
}

/// A transport that takes one byte at a time.
struct Narrow {
    input: &'static [u8],
    output: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
}

impl Read for Narrow {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let size = buf.len().min(1);
        self.input.read(&mut buf[..size])
    }
}

impl Write for Narrow {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let byte = &buf[..buf.len().min(1)];
        self.output.borrow_mut().extend_from_slice(byte);
        Ok(byte.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Narrow {
    fn set_read_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn close_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_response_is_complete_although_the_transport_takes_one_byte_at_a_time() {
    fn handler(request: Request<Body>) -> Body {
        let text = "0123456789".repeat(10_000);
        match request.uri().path() {
            "/reader" => Body::from_reader(io::Cursor::new(text)),
            "/writer" => Body::from_writer(move |client| client.write_all(text.as_bytes())),
            _ => text.into(),
        }
    }
    within(|| {
        for input in [
            &b"GET / HTTP/1.0\r\n\r\n"[..],
            b"GET /reader HTTP/1.0\r\n\r\n",
            b"GET /writer HTTP/1.0\r\n\r\n",
        ] {
            let output = std::rc::Rc::default();
            let stream = Narrow {
                input,
                output: std::rc::Rc::clone(&output),
            };
            Server::default()
                .serve_connection(stream, (), handler)
                .unwrap();
            let answer = String::from_utf8(output.take()).unwrap();
            assert_eq!(parts(&answer).1, "0123456789".repeat(10_000));
        }
    });
}
