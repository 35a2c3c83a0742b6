//! Bodies from and for handlers.

use std::io::{self, BufRead, Read, Seek, Write};
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Response, Server, StatusCode, StatusError};
use evy_test_support::within;

use super::{connect, exchange, read_until, start, statuses};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn a_handler_may_return_each_of_these_types() {
    fn answer<R: evy_http::IntoResponse + 'static>(handler: fn(Request<Body>) -> R) -> String {
        within(move || exchange(start(Server::default(), handler), GET))
    }
    let text = "content-type: text/plain; charset=utf-8\r\n\r\n";
    let hello = format!("{text}hello");
    assert!(answer(|_| "hello").ends_with(&hello));
    assert!(answer(|_| "hello".to_owned()).ends_with(&hello));
    assert!(answer(|_| b"hello".to_vec()).ends_with("\r\n\r\nhello"));
    assert!(answer(|_| Body::from("hello")).ends_with("\r\n\r\nhello"));
    assert!(answer(|_| Response::new("hello")).ends_with("\r\n\r\nhello"));
    assert!(answer(|_| ()).starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(answer(|_| StatusCode::NOT_FOUND).starts_with("HTTP/1.1 404 Not Found\r\n"));
    let created = answer(|_| (StatusCode::CREATED, "hello"));
    assert!(created.starts_with("HTTP/1.1 201 ") && created.ends_with(&hello));
    assert!(answer(|_| Ok::<_, String>("hello")).ends_with(&hello));
    assert!(answer(|_| Ok::<_, &str>(StatusCode::ACCEPTED)).starts_with("HTTP/1.1 202 "));
    assert!(answer(|_| Err::<(), _>("text")).starts_with("HTTP/1.1 500 "));
    assert!(
        answer(|_| Err::<(), Box<dyn std::error::Error + Send + Sync>>("boxed".into()))
            .starts_with("HTTP/1.1 500 ")
    );
    let known =
        answer(|_| Err::<(), _>(StatusError::new(StatusCode::IM_A_TEAPOT, "short and stout")));
    assert!(known.starts_with("HTTP/1.1 418 ") && known.ends_with("short and stout"));
    let wrapped = answer(|_| {
        let error = StatusError::new(StatusCode::CONFLICT, "wrapped");
        Err::<(), _>(io::Error::other(error))
    });
    assert!(wrapped.starts_with("HTTP/1.1 409 ") && wrapped.ends_with("wrapped"));
    let hidden = answer(|_| Err::<(), _>(Opaque(StatusError::new(StatusCode::GONE, "hidden"))));
    assert!(hidden.starts_with("HTTP/1.1 410 ") && hidden.ends_with("hidden"));
}

/// A wrapper that hides what it wraps, as that of `anyhow` does.
#[derive(Debug)]
struct Opaque(StatusError);

impl std::fmt::Display for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Opaque {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

#[test]
fn a_body_from_a_file_has_the_length_of_what_is_left_of_it() {
    fn file(_request: Request<Body>) -> io::Result<Body> {
        let mut file = evy_runtime::fs::File::open("/proc/self/exe")?;
        let length = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(length - 300_000))?;
        Body::from_file(file)
    }
    within(|| {
        let addr = start(Server::default(), file);
        let mut stream = connect(addr);
        stream.write_all(GET).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap()
            + 4;
        assert!(String::from_utf8_lossy(&answer[..head]).contains("content-length: 300000\r\n"));
        let exe = std::fs::read("/proc/self/exe").unwrap();
        assert!(answer[head..] == exe[exe.len() - 300_000..]);
        assert!(Body::from_file(std::fs::File::open("/dev/null").unwrap()).is_err());
    });
}

#[test]
fn a_sized_body_is_sent_with_its_length_and_never_more() {
    within(|| {
        let addr = start(Server::default(), |_| Body::sized(io::repeat(b'x'), 40_000));
        let answer = exchange(addr, GET);
        assert!(answer.contains("content-length: 40000\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{}", "x".repeat(40_000))));
    });
}

#[test]
fn what_a_writer_flushes_is_sent_at_once() {
    within(|| {
        let addr = start(Server::default(), |_| {
            let events = Body::from_writer(|client| {
                client.flush()?;
                for number in 1..=3 {
                    evy_runtime::sleep(Duration::from_millis(100));
                    write!(client, "data: {number}\n\n")?;
                    client.flush()?;
                }
                evy_runtime::sleep(Duration::from_secs(2));
                client.write_all(b"end")
            });
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(events)
        });
        for version in ["1.1", "1.0"] {
            let start = Instant::now();
            let mut stream = connect(addr);
            stream
                .write_all(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes())
                .unwrap();
            let head = read_until(&mut stream, "\r\n\r\n");
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
            assert_eq!(
                head.contains("transfer-encoding: chunked"),
                version == "1.1"
            );
            read_until(&mut stream, "data: 3\n\n");
            assert!(start.elapsed() < Duration::from_secs(2));
        }
    });
}

#[test]
fn a_writer_may_write_any_amount_in_pieces_of_any_size() {
    fn write(request: Request<Body>) -> Response<Body> {
        let body = Body::from_writer(|out| {
            let mut piece = 1;
            let mut left = 300_000;
            while left > 0 {
                piece = (piece * 3 % 70_001 + 1).min(left);
                out.write_all(&vec![b'x'; piece])?;
                left -= piece;
            }
            Ok(())
        });
        let response = match request.uri().path() {
            "/declared" => Response::builder().header("content-length", "300000"),
            _ => Response::builder(),
        };
        response.body(body).unwrap()
    }
    within(|| {
        let addr = start(Server::default(), write);
        let client = evy_http::Client::new();
        for path in ["/chunked", "/declared"] {
            for _ in 0..2 {
                let response = client.get(&format!("http://{addr}{path}")).unwrap();
                assert_eq!(
                    response.headers().contains_key("content-length"),
                    path == "/declared"
                );
                assert_eq!(
                    response.into_body().into_text().unwrap(),
                    "x".repeat(300_000)
                );
            }
        }
    });
}

#[test]
fn a_writer_that_does_not_keep_to_its_length_cannot_forge_a_response() {
    within(|| {
        for (length, sent) in [("3", "hel"), ("9", "hello")] {
            let addr = start(
                Server::default(),
                match length {
                    "3" => |_| declared("3"),
                    _ => |_| declared("9"),
                },
            );
            let mut stream = connect(addr);
            stream.write_all(&GET.repeat(2)).unwrap();
            let mut answer = Vec::new();
            let outcome = stream.read_to_end(&mut answer);
            let answer = String::from_utf8(answer).unwrap();
            assert!(
                outcome.is_err() || statuses(&answer) == ["500"],
                "{sent}: {answer}"
            );
            assert!(statuses(&answer).len() <= 1, "{answer}");
        }
    });
    fn declared(length: &str) -> Response<Body> {
        let body = Body::from_writer(|out| out.write_all(b"hello"));
        Response::builder()
            .header("content-length", length)
            .body(body)
            .unwrap()
    }
}

#[test]
fn a_request_body_is_buf_read() {
    within(|| {
        let addr = start(Server::default(), |request| {
            let lines: io::Result<Vec<_>> = request.into_body().lines().collect();
            lines.map(|lines| lines.join("|"))
        });
        let answer = exchange(
            addr,
            b"POST / HTTP/1.0\r\nContent-Length: 14\r\n\r\none\ntwo\n\nthree",
        );
        assert!(answer.ends_with("one|two||three"), "{answer}");
        let mut body = Body::from("memory");
        assert_eq!(body.fill_buf().unwrap(), b"memory");
        body.consume(3);
        assert_eq!(
            (body.length(), body.into_text().unwrap()),
            (Some(3), "ory".to_owned())
        );
        let mut read = Body::sized(&b"reader"[..], 6);
        assert_eq!(read.fill_buf().unwrap(), b"reader");
        read.consume(2);
        assert_eq!(read.length(), Some(4));
        assert_eq!(read.limit(4).into_text().unwrap(), "ader");
        let written = Body::from_writer(|out| out.write_all(b"written"));
        assert_eq!(written.into_text().unwrap(), "written");
    });
}

#[test]
fn a_limit_of_one_route_is_answered_with_413() {
    fn limited(request: Request<Body>) -> io::Result<String> {
        let is_ignored = request.uri().path() == "/ignored";
        match request.into_body().limit(4).into_text() {
            Err(_) if is_ignored => Ok("the handler ignores the error".to_owned()),
            result => result,
        }
    }
    within(|| {
        let addr = start(Server::default(), limited);
        for (body, status) in [
            ("Content-Length: 4\r\n\r\nfour", "200"),
            ("Content-Length: 5\r\n\r\nfiver", "413"),
            (
                "Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
                "200",
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n3\r\nfiv\r\n2\r\ner\r\n0\r\n\r\n",
                "413",
            ),
            ("Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "413"),
        ] {
            for path in ["/", "/ignored"] {
                let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
                let answer = exchange(addr, format!("{head}{body}").as_bytes());
                assert_eq!(statuses(&answer), [status], "{body}: {answer}");
            }
        }
        let error = Body::from("fiver").limit(4).into_text().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut repeated = Body::from_reader(io::repeat(b'x')).limit(3);
        let mut bytes = [0; 3];
        repeated.read_exact(&mut bytes).unwrap();
        for _ in 0..2 {
            assert!(repeated.read(&mut bytes).is_err());
        }
    });
}

#[test]
fn a_timeout_around_a_flush_loses_and_repeats_nothing() {
    const PIECES: u32 = 800;
    fn numbers() -> Vec<u8> {
        (0..PIECES)
            .flat_map(|n| n.to_be_bytes().repeat(2500))
            .collect()
    }
    within(|| {
        let addr = start(Server::default(), |_| {
            Body::from_writer(|out| {
                for n in 0..PIECES {
                    out.write_all(&n.to_be_bytes().repeat(2500))?;
                    while evy_runtime::timeout(Duration::from_millis(2), || out.flush()).is_err() {}
                }
                Ok(())
            })
        });
        let mut stream = connect(addr);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(&numbers()) && answer.len() < numbers().len() + 500);
    });
}

/// Claims to have read more than it was asked for.
struct Overstating;

impl Read for Overstating {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.fill(b'a');
        Ok(buf.len() + 1)
    }
}

#[test]
fn a_reader_that_claims_too_much_does_not_break_the_framing() {
    within(|| {
        let addr = start(Server::default(), |_| {
            Response::new(Body::from_reader(Overstating))
        });
        assert_eq!(statuses(&exchange(addr, GET)), ["500"]);
    });
}
