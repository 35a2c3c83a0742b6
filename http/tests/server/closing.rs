//! How a connection ends: announced, whole, or so that the client sees that it was cut.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Response, Server, StatusCode};
use evy_test_support::within;

use super::{connect, exchange, read_to_end, read_until, start, statuses};

/// A body that fails after 30 bytes.
fn failing() -> Body {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                ..=30 => {
                    buf[0] = b'x';
                    Ok(1)
                }
                31 => Err(io::Error::other("the disk is broken")),
                _ => panic!("a reader is not read after it has failed"),
            }
        }
    }
    Body::from_reader(Failing(0))
}

#[test]
fn a_response_that_is_cut_off_resets_the_connection() {
    fn handler(request: Request<Body>) -> Response<Body> {
        match request.uri().path() {
            "/fails" => Response::new(failing()),
            "/panics" => Response::new(Body::from_writer(|out| {
                out.write_all(b"begun")?;
                out.flush()?;
                panic!("the body panics");
            })),
            "/short" => {
                let body = Body::sized(&b"short"[..], 100_000);
                Response::new(body)
            }
            _ => Response::new(Body::from_writer(|out| {
                out.write_all(b"begun")?;
                out.flush()?;
                Err(io::Error::other("the body fails"))
            })),
        }
    }
    within(|| {
        let addr = start(Server::default(), handler);
        for path in ["/fails", "/panics", "/writer"] {
            for version in ["1.0", "1.1"] {
                let mut stream = connect(addr);
                let request = format!("GET {path} HTTP/{version}\r\nHost: a\r\n\r\n");
                stream.write_all(request.as_bytes()).unwrap();
                let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{path} {version}");
            }
        }
    });
}

#[test]
fn a_body_that_fails_before_anything_was_sent_is_answered_with_500() {
    within(|| {
        let addr = start(Server::default(), |request| {
            Response::new(match request.uri().path() {
                "/fails" => Body::from_writer(|out| {
                    out.write_all(b"not sent")?;
                    Err(io::Error::other("the body fails"))
                }),
                "/panics" => Body::from_writer(|_| panic!("the body panics")),
                _ => Body::sized(&b"short"[..], 100),
            })
        });
        for path in ["/fails", "/panics"] {
            for version in ["1.0", "1.1"] {
                let request = format!("GET {path} HTTP/{version}\r\nHost: a\r\n\r\n");
                let answer = exchange(addr, request.as_bytes());
                assert!(answer.starts_with("HTTP/1.1 500 "), "{path}: {answer}");
                assert!(!answer.contains("not sent"), "{path}: {answer}");
            }
        }
    });
}

fn ignore(_request: Request<Body>) -> &'static str {
    "ignored"
}

#[test]
fn a_close_is_announced_before_it_happens() {
    within(|| {
        let addr = start(Server::default(), ignore);
        let next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let declared = |length: usize| {
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}",
                "x".repeat(length)
            )
        };
        let chunked = |length: usize| {
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n",
                "x".repeat(length)
            )
        };
        for request in [declared(66_000), declared(1_000_000), chunked(66_000)] {
            let answer = exchange(addr, format!("{request}{next}").as_bytes());
            assert_eq!(statuses(&answer), ["200"]);
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
        for request in [declared(1000), declared(65_536), chunked(1000)] {
            let mut stream = connect(addr);
            stream
                .write_all(format!("{request}{next}").as_bytes())
                .unwrap();
            let first = read_until(&mut stream, "ignored");
            assert!(!first.contains("connection: close"), "{first}");
            let second = read_until(&mut stream, "ignored");
            assert_eq!(statuses(&second), ["200"]);
        }
    });
}

#[test]
fn late_input_does_not_cut_the_last_response() {
    const SIZE: usize = 1 << 20;
    within(|| {
        let addr = start(Server::default(), |_| vec![b'x'; SIZE]);
        for late in [b"\r\n".to_vec(), vec![b'y'; 100_000]] {
            let mut stream = connect(addr);
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .unwrap();
            thread::sleep(Duration::from_millis(50));
            stream.write_all(&late).unwrap();
            let mut body = Vec::new();
            let mut piece = [0; 16 * 1024];
            loop {
                thread::sleep(Duration::from_millis(1));
                match stream.read(&mut piece).unwrap() {
                    0 => break,
                    read => body.extend_from_slice(&piece[..read]),
                }
            }
            assert!(body.ends_with(&vec![b'x'; SIZE]));
        }
    });
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending_megabytes() {
    within(|| {
        let addr = start(Server::builder().max_body_bytes(10).build(), ignore);
        for (head, status) in [
            ("Content-Length: 20000000", "413"),
            ("Transfer-Encoding: chunked", "200"),
        ] {
            let mut stream = connect(addr);
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n1312D00\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let piece = vec![b'x'; 100_000];
            // The client reads only after it has sent everything.
            for _ in 0..200 {
                stream.write_all(&piece).unwrap();
            }
            let answer = read_to_end(&mut stream);
            assert_eq!(statuses(&answer), [status], "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
    });
}

#[test]
fn a_client_that_is_refused_cannot_keep_the_connection_by_sending_slowly() {
    within(|| {
        let addr = start(Server::default(), ignore);
        let mut stream = connect(addr);
        stream.write_all(b"nonsense\r\n\r\n").unwrap();
        let start = Instant::now();
        while stream.write_all(b"x").is_ok() {
            assert!(
                start.elapsed() < Duration::from_secs(15),
                "the connection stays open"
            );
            thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn a_client_that_goes_away_in_a_body_is_answered_with_400_and_not_reported() {
    use std::sync::Mutex;
    static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let report = |error: &io::Error| REPORTS.lock().unwrap().push(error.to_string());
        let addr = start(Server::builder().on_error(report).build(), |request| {
            request.into_body().into_text()
        });
        let heads = [
            "Content-Length: 10\r\n\r\nhello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ];
        for head in heads {
            let mut stream = connect(addr);
            let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{head}");
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let answer = read_to_end(&mut stream);
            assert_eq!(statuses(&answer), ["400"], "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
        assert!(REPORTS.lock().unwrap().is_empty());
    });
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    within(|| {
        let addr = start(Server::default(), |_| {
            evy_runtime::sleep(Duration::from_millis(50));
            (StatusCode::CREATED, "done")
        });
        let mut stream = connect(addr);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(statuses(&read_to_end(&mut stream)), ["201"]);
    });
}
