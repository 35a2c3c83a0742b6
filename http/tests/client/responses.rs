//! Responses that a server should not send, however they are split.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::thread;

use evy_http::{Client, ResponseExt, UnexpectedStatus};
use evy_runtime::Semaphore;
use evy_test_support::within;

use super::{answers, get, ok, read_head, server, text};

/// What becomes of a response: its status and its body, or the kind of the error.
type Outcome = Result<(u16, &'static str), ErrorKind>;

const EOF: Outcome = Err(ErrorKind::UnexpectedEof);
const INVALID: Outcome = Err(ErrorKind::InvalidData);

/// Sends `answer` in two pieces, split at each position, and checks what a client makes of it.
fn check(answer: &'static str, expected: &Outcome) {
    let addr = server(move |number, mut stream| {
        stream.set_nodelay(true).unwrap();
        read_head(&mut stream);
        let (first, second) = answer.as_bytes().split_at(number.min(answer.len()));
        stream.write_all(first).ok();
        thread::yield_now();
        stream.write_all(second).ok();
        stream.shutdown(Shutdown::Write).ok();
    });
    for split in 0..=answer.len() {
        let client = Client::builder()
            .max_head_bytes(400)
            .max_headers(8)
            .max_body_bytes(100);
        let response = client.build().get(&format!("http://{addr}/"));
        let outcome = response.and_then(|response| {
            let status = response.status().as_u16();
            Ok((status, response.into_body().into_text()?))
        });
        let outcome = outcome
            .as_ref()
            .map(|(status, body)| (*status, body.as_str()));
        let outcome = outcome.map_err(|error| error.kind());
        assert_eq!(outcome, *expected, "split at {split}: {answer:?}");
    }
}

#[test]
fn well_formed_responses_are_read_wherever_they_are_split() {
    for (answer, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            (200, "hello"),
        ),
        (
            "HTTP/1.1 200\r\nContent-Length:5\r\n\r\nhello",
            (200, "hello"),
        ),
        (
            "HTTP/1.1 200 \r\ncontent-length: 005\r\n\r\nhello",
            (200, "hello"),
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", (200, "hello")),
        ("HTTP/1.0 200 OK\r\n\r\nhello", (200, "hello")),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            (200, "hello"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            (200, "hello"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2;a=b\r\nhe\r\n03\r\nllo\r\n000\r\nT: t\r\n\r\n",
            (200, "hello"),
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            (204, ""),
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            (304, ""),
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            (304, ""),
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            (200, "ok"),
        ),
        ("HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", (599, "")),
    ] {
        within(move || check(answer, &Ok(expected)));
    }
}

#[test]
fn hostile_responses_are_errors_wherever_they_are_split() {
    for (answer, expected) in [
        // Truncated.
        ("", EOF),
        ("HTTP/1.1 200 OK\r\n", EOF),
        ("HTTP/1.1 100 Continue\r\n\r\n", EOF),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", EOF),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            EOF,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            EOF,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            EOF,
        ),
        // Framing that two readers could interpret differently.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
            INVALID,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello", INVALID),
        (
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            INVALID,
        ),
        // Chunks.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT : t\r\n\r\n",
            INVALID,
        ),
        // Heads.
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", INVALID),
        ("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", INVALID),
        ("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", INVALID),
        ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", INVALID),
        ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", INVALID),
        ("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", INVALID),
        ("HTTP/1.1 99 Low\r\n\r\n", INVALID),
        ("HTTP/1.1 1000 High\r\n\r\n", INVALID),
        ("HTTP/1.1 20 OK\r\n\r\n", INVALID),
        ("HTTP/1.1 2x0 OK\r\n\r\n", INVALID),
        ("HTTP/2.0 200 OK\r\n\r\n", INVALID),
        ("HTTP/0.9 200 OK\r\n\r\n", INVALID),
        ("http/1.1 200 OK\r\n\r\n", INVALID),
        (" HTTP/1.1 200 OK\r\n\r\n", INVALID),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", INVALID),
        ("<html>hello</html>\r\n\r\n", INVALID),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            INVALID,
        ),
        // Over a limit.
        ("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", INVALID),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n",
            INVALID,
        ),
        (
            "HTTP/1.1 200 OK\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n",
            INVALID,
        ),
    ] {
        within(move || check(answer, &expected));
    }
}

#[test]
fn endless_informational_responses_and_heads_are_errors() {
    for piece in [
        "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: bbbbbbbbbb",
    ] {
        within(move || {
            let addr = server(move |_, mut stream| {
                read_head(&mut stream);
                while stream.write_all(piece.as_bytes()).is_ok() {}
            });
            let error = get(&Client::new(), addr).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        });
    }
}

#[test]
fn an_endless_body_is_limited() {
    within(|| {
        let addr = server(|_, mut stream| {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        });
        let client = Client::builder().max_body_bytes(1_000_000).build();
        let error = get(&client, addr).unwrap_err();
        assert!(error.to_string().contains("max_body_bytes"), "{error}");
        // The program can set a lower limit for one response.
        let response = client.get(&format!("http://{addr}/")).unwrap();
        response.into_body().limit(10).into_text().unwrap_err();
    });
}

#[test]
fn an_error_status_can_be_made_an_error_in_one_line() {
    within(|| {
        let gone = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n".to_owned();
        let moved = "HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".to_owned();
        let addr = answers([ok("fine"), moved, gone.clone(), gone.replace("410", "503")]);
        let client = Client::new();
        let url = format!("http://{addr}/old");
        let fine = client.get(&url).unwrap().error_for_status();
        assert_eq!(text(fine).unwrap(), "fine");
        let error = client.get(&url).unwrap().error_for_status().unwrap_err();
        let message = format!("the server answered 410 Gone for http://{addr}/new");
        assert_eq!(error.to_string(), message);
        let status: &UnexpectedStatus = error.get_ref().unwrap().downcast_ref().unwrap();
        assert_eq!(status.status(), 410);
        assert!(client.get(&url).unwrap().error_for_status().is_err());
    });
}

#[test]
fn the_trailers_of_a_response_are_given_on_request() {
    within(|| {
        let answer =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nsum: 9\r\n\r\n";
        let mut response = Client::new()
            .get(&format!("http://{}/", answers([answer])))
            .unwrap();
        assert_eq!(std::io::read_to_string(response.body_mut()).unwrap(), "a");
        assert_eq!(response.body_mut().take_trailers().unwrap()["sum"], "9");
    });
}

#[test]
fn green_threads_share_a_client() {
    within(|| {
        let addr = server(|_, mut stream| {
            thread::spawn(move || {
                while read_head(&mut stream).is_some() {
                    stream.write_all(ok("a").as_bytes()).unwrap();
                }
            });
        });
        let client = Client::new();
        let done = Semaphore::new(0);
        evy_runtime::scope(|s| {
            for _ in 0..20 {
                s.spawn(|| {
                    for _ in 0..20 {
                        assert_eq!(get(&client, addr).unwrap(), "a");
                    }
                    done.release();
                });
            }
        });
        (0..20).for_each(|_| done.acquire());
    });
}
