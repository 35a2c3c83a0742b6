//! The responses of a server connection to an in-memory peer.

use super::{IntoResponse, Server};
use crate::body::Body;
use crate::mock_stream::MockStream;
use http::{Request, Response};
use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

/// Returns everything that the server sends to `mock`, without the `date` headers.
fn responses_to<R: IntoResponse>(
    server: &Server,
    mock: MockStream,
    handler: impl Fn(Request<Body>) -> R,
) -> String {
    let writes = Rc::clone(&mock.writes);
    server.serve_connection(mock, (), handler).ok();
    let response = String::from_utf8(writes.borrow().concat()).unwrap();
    let lines = response.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

fn echo(request: Request<Body>) -> io::Result<Response<String>> {
    let line = format!("{} {} ", request.method(), request.uri());
    Ok(Response::new(line + &request.into_body().into_text()?))
}

fn response_to(request: &str) -> String {
    responses_to(
        &Server::default(),
        MockStream::new(&[request.as_bytes()]),
        echo,
    )
}

const BAD: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[test]
fn a_small_exchange_takes_one_read_and_one_write() {
    let mock = MockStream::new(&[b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]);
    let (reads, writes) = (Rc::clone(&mock.reads), Rc::clone(&mock.writes));
    let hello = |_request| Response::new(Body::from("hello"));
    Server::default().serve_connection(mock, (), hello).unwrap();
    // The second read finds the end of the stream.
    assert_eq!((reads.get(), writes.borrow().len()), (2, 1));
    let response = String::from_utf8(writes.borrow()[0].clone()).unwrap();
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\ndate: "),
        "{response}"
    );
    assert!(
        response.ends_with("GMT\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"),
        "{response}"
    );
}

#[test]
fn responses_do_not_depend_on_where_the_input_is_split() {
    let bytes = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none\
        POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        2;x=y\r\ntw\r\n00A\r\no234567890\r\n0\r\nT: railer\r\n\r\n\
        \r\n\r\nHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /4 HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\nGET /5";
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nPOST /1 one\
        HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nPOST /2 two234567890\
        HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nGET /4 ";
    let server = Server::default();
    for cut in 0..bytes.len() {
        let mock = MockStream::new(&[&bytes[..cut], &bytes[cut..]]);
        assert_eq!(
            responses_to(&server, mock, echo),
            expected,
            "split at {cut}"
        );
    }
    let bytewise: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(
        responses_to(&server, MockStream::new(&bytewise), echo),
        expected
    );
}

#[test]
fn no_answer_depends_on_where_a_request_is_split() {
    let post = "POST /x HTTP/1.1\r\nHost: a\r\n";
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let requests = [
        "GET /x HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(),
        "GET /x HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(),
        "\r\n\r\nGET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: a:99999\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: a\rX: y\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n".to_owned(),
        "\n\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "\r\rGET /x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!("{post}Content-Length: 5\r\n\r\nhello\r\n\r\n"),
        format!("{post}Content-Length: 5\r\n\r\nhel"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{chunked}5;x=\"y\"\r\nhello\r\n0\r\nT: railer\r\n\r\n"),
        format!("{chunked}5\r\nhello\r\n0\r\nX : y\r\n\r\n"),
        format!("{chunked}5\r\nhello\r\n0\r\n x: y\r\n\r\n"),
        format!("{chunked}5\r\nhelloo\r\n0\r\n\r\n"),
        format!("{chunked}5\nhello\r\n0\r\n\r\n"),
        format!("{chunked}5\r\nhel"),
        format!("{chunked}5;\x01\r\nhello\r\n0\r\n\r\n"),
    ];
    let server = Server::default();
    for request in requests {
        let next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let bytes = [request.as_bytes(), next.as_bytes()].concat();
        let whole = responses_to(&server, MockStream::new(&[&bytes]), echo);
        assert!(whole.starts_with("HTTP/1.1 "), "{request:?}: {whole}");
        for cut in 1..bytes.len() {
            let mock = MockStream::new(&[&bytes[..cut], &bytes[cut..]]);
            let split = responses_to(&server, mock, echo);
            assert_eq!(split, whole, "{request:?} split at {cut}");
        }
        let bytewise: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(
            responses_to(&server, MockStream::new(&bytewise), echo),
            whole
        );
    }
}

#[test]
fn a_wrong_byte_anywhere_yields_well_formed_responses_or_none() {
    let bytes = b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        2;x=y\r\ntw\r\n0\r\nT: railer\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none";
    for at in 0..bytes.len() {
        for wrong in *b"\0\t\r\n +-:;0f\x7f\xff" {
            let mut bytes = bytes.to_vec();
            bytes[at] = wrong;
            let all = responses_to(&Server::default(), MockStream::new(&[&bytes]), echo);
            let answers = all.matches("HTTP/1.1 ").count();
            assert!(answers <= 2, "{wrong:#x} at {at}: {all}");
            assert!(
                all.is_empty() || all.starts_with("HTTP/1.1 "),
                "{wrong:#x} at {at}"
            );
        }
    }
}

#[test]
fn malformed_chunks_are_answered_with_400_and_end_the_connection() {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
    let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(1000));
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5 ;a\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "5;\r\r\nhello\r\n0\r\n\r\n",
        "5;a\x01b\r\nhello\r\n0\r\n\r\n",
        "5;a\x7f\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "0\r\ntrailer\r\n\r\n",
        &long,
        &trailers,
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let request = format!("{head}{body}{next}");
        assert_eq!(response_to(&request), BAD, "{body:?}");
        let all = responses_to(
            &Server::default(),
            MockStream::new(&[request.as_bytes()]),
            |request| Response::new(request.into_body()),
        );
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{body:?}");
    }
}

#[test]
fn a_malformed_head_is_answered_with_400_and_ends_the_connection() {
    let next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(response_to(&format!("GET / HTTP/1.1\r\n\r\n{next}")), BAD);
    let both = "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n";
    let both = format!("GET / HTTP/1.1\r\nHost: a\r\n{both}\r\n0\r\n\r\n");
    assert_eq!(response_to(&format!("{both}{next}")), BAD);
}

#[test]
fn a_body_over_the_limit_is_answered_with_413_whether_its_length_is_declared_or_not() {
    let server = Server::builder().max_body_bytes(4).build();
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{body}");
        let all = responses_to(&server, MockStream::new(&[request.as_bytes()]), echo);
        assert!(all.starts_with("HTTP/1.1 413 "), "{all}");
    }
}

#[test]
fn an_http_1_0_connection_is_closed_unless_keep_alive_is_requested() {
    let kept = response_to(
        "GET /1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGET /3",
    );
    assert_eq!(
        kept,
        "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: keep-alive\r\n\
         keep-alive: timeout=60\r\n\r\nGET /1 \
         HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nGET /2 "
    );
}

#[test]
fn a_body_of_unknown_length_is_chunked_or_ends_with_the_connection() {
    let stream = |_request| Response::new(Body::from_reader(&b"hello"[..]));
    let ask = |head: &str| {
        responses_to(
            &Server::default(),
            MockStream::new(&[head.as_bytes()]),
            stream,
        )
    };
    assert_eq!(
        ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0005\r\nhello\r\n0\r\n\r\n"
    );
    assert_eq!(
        ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello"
    );
    assert_eq!(
        ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    );
}

#[test]
fn a_streamed_body_matches_its_content_length_or_the_connection_is_closed() {
    for (length, expected) in [
        ("3", "\r\n\r\nhel"),
        ("5", "\r\n\r\nhello"),
        ("0", "0\r\n\r\n"),
    ] {
        let all = responses_to(
            &Server::default(),
            MockStream::new(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n"]),
            |_request| {
                let body = Body::from_reader(&b"hello"[..]);
                Response::builder()
                    .header("content-length", length)
                    .body(body)
                    .unwrap()
            },
        );
        assert!(all.ends_with(expected), "{all}");
    }
    let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    let all = responses_to(
        &Server::default(),
        MockStream::new(&[twice.as_bytes()]),
        |_request| {
            let body = Body::from_reader(&b"hello"[..]);
            Response::builder()
                .header("content-length", "6")
                .body(body)
                .unwrap()
        },
    );
    assert_eq!(all.matches("200 OK").count(), 1, "{all}");
    assert!(all.ends_with("\r\n\r\nhello"), "{all}");
}

#[test]
fn statuses_without_a_body_carry_no_framing_and_keep_the_connection() {
    let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    for status in [204, 304] {
        let all = responses_to(
            &Server::default(),
            MockStream::new(&[twice.as_bytes()]),
            |_request| Response::builder().status(status).body("body").unwrap(),
        );
        assert_eq!(all.matches("\r\n\r\n").count(), 2, "{all}");
        assert!(
            !all.contains("content-length") && !all.contains("body"),
            "{all}"
        );
    }
}

#[test]
fn status_100_is_sent_when_the_body_is_first_read_and_only_then() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let go = "HTTP/1.1 100 Continue\r\n\r\n";
    let read = response_to(&format!("{head}hi"));
    assert_eq!(
        read,
        format!("{go}HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nPOST / hi")
    );

    let ask = |answer: fn(Request<Body>) -> Response<Body>| {
        responses_to(
            &Server::default(),
            MockStream::new(&[head.as_bytes(), b"hi"]),
            answer,
        )
    };
    let unread = ask(|_request| Response::new("no".into()));
    let closing = "connection: close\r\n";
    assert_eq!(
        unread,
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{closing}\r\nno")
    );
    let echoed = ask(|request| Response::new(request.into_body()));
    assert_eq!(
        echoed,
        format!("{go}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{closing}\r\nhi")
    );
    let other = response_to("GET / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n");
    assert!(other.starts_with("HTTP/1.1 417 "), "{other}");
}

#[test]
fn an_empty_read_of_a_body_does_not_touch_the_connection() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let mock = MockStream::new(&[head.as_bytes(), b"hi"]);
    let all = responses_to(&Server::default(), mock, |mut request| {
        assert_eq!(request.body_mut().read(&mut []).unwrap(), 0);
        Response::new("no")
    });
    assert!(!all.contains("100 Continue"), "{all}");
    let mut body = Body::from_reader(io::repeat(b'x'));
    assert_eq!(body.read(&mut []).unwrap(), 0);
}

#[test]
fn an_unread_body_is_skipped_up_to_64_kib() {
    for (length, answers) in [(65536, 2), (65537, 1)] {
        let body = "x".repeat(length);
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let request = format!("{head}{body}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mock = MockStream::new(&[request.as_bytes()]);
        let all = responses_to(&Server::default(), mock, |_request| Response::new(""));
        assert_eq!(all.matches("200 OK").count(), answers, "{length}");
    }
}

#[test]
fn a_handler_error_is_answered_with_500_even_if_on_error_panics() {
    let logger = |_: &io::Error| std::panic::resume_unwind(Box::new("logger"));
    let server = Server::builder().on_error(logger).build();
    let mock = MockStream::new(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    let all = responses_to(&server, mock, |_request| {
        Err::<Response<Body>, _>(io::Error::other("handler"))
    });
    assert!(all.starts_with("HTTP/1.1 500 "), "{all}");
}

#[test]
fn a_handler_error_is_answered_with_500_and_the_next_request_is_served() {
    let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    let all = responses_to(
        &Server::default(),
        MockStream::new(&[twice.as_bytes()]),
        |_request| Err::<Response<()>, _>(io::Error::other("no")),
    );
    assert_eq!(
        all,
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".repeat(2)
    );
}

#[test]
fn a_late_head_is_answered_with_408_and_an_idle_connection_is_closed_silently() {
    let silent_after = |bytes: &str| {
        let mock = MockStream::new(&[bytes.as_bytes()]);
        responses_to(
            &Server::default(),
            MockStream {
                would_block: true,
                ..mock
            },
            echo,
        )
    };
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nGET / ";
    let late = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(silent_after(whole), answer);
    assert_eq!(
        silent_after(&format!("{whole}GET")),
        format!("{answer}{late}")
    );
    assert_eq!(silent_after("GET"), late);
}

#[test]
fn a_body_that_outlives_its_request_reads_nothing_of_the_next_request() {
    let kept = Rc::new(RefCell::new(None));
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let all = responses_to(
        &Server::default(),
        MockStream::new(&[request.repeat(2).as_bytes()]),
        {
            let kept = Rc::clone(&kept);
            move |request: Request<Body>| {
                if let Some(mut old) = kept.replace(Some(request.into_body())) {
                    let error = Read::read(&mut old, &mut [0; 9]).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
                }
                Response::new("")
            }
        },
    );
    assert_eq!(all.matches("200 OK").count(), 2);
}

/// A handler with a response of each kind.
fn any_kind(request: Request<Body>) -> io::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let status = |status: u16| Response::builder().status(status);
    let built = match path.as_str() {
        "/large" => return Ok(Response::new("large".repeat(5000).into())),
        "/reader" => return Ok(Response::new(Body::from_reader(&b"streamed"[..]))),
        "/writer" => {
            return Ok(Response::new(Body::from_writer(|client| {
                io::Write::write_all(client, b"one")?;
                io::Write::flush(client)?;
                io::Write::write_all(client, b"two")
            })));
        }
        "/failing" => {
            return Ok(Response::new(Body::from_writer(|_| {
                Err(io::Error::other("no body"))
            })));
        }
        "/error" => return Err(io::Error::other("no response")),
        "/park" => {
            evy_runtime::yield_now();
            status(200).body("parked".into())
        }
        "/read" => status(200).body(request.into_body().into_bytes()?.into()),
        "/echo" => status(200).body(request.into_body()),
        "/204" => status(204).body("none".into()),
        "/205" => status(205).body("none".into()),
        "/304" => status(304).body("none".into()),
        "/headers" => status(200)
            .header("x-large", "x".repeat(9000))
            .body("x".into()),
        _ => status(200).body(path.into()),
    };
    built.map_err(io::Error::other)
}

#[test]
fn pipelined_responses_of_all_kinds_are_those_of_single_requests() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = |path: &str| format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{rest}");
    let mut requests = vec![
        post("/read", "Content-Length: 4\r\n\r\nread"),
        post(
            "/read",
            "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
        ),
        post(
            "/echo",
            "Transfer-Encoding: chunked\r\n\r\n4\r\necho\r\n0\r\n\r\n",
        ),
        post("/ignored", "Content-Length: 6\r\n\r\nunread"),
    ];
    for path in [
        "/short", "/large", "/reader", "/writer", "/error", "/park", "/204", "/205", "/304",
        "/headers",
    ] {
        requests.extend([get(path), head(path)]);
    }
    let server = Server::default();
    let answers = |bytes: &str| {
        let mock = MockStream::new(&[bytes.as_bytes()]);
        responses_to(&server, mock, any_kind)
    };
    let last = [
        get("/failing"),
        "GET /\r\n\r\n".to_owned(),
        "GET /last HTTP/1.0\r\n\r\n".to_owned(),
    ];
    let single: Vec<_> = requests.iter().map(|request| answers(request)).collect();
    let single_last: Vec<_> = last.iter().map(|request| answers(request)).collect();
    let mut all = single.iter().chain(&single_last);
    assert!(all.all(|answer| answer.starts_with("HTTP/1.1 ")));
    let count = requests.len();
    for first in 0..count {
        for second in 0..count {
            let end = (first + second) % last.len();
            let all = [
                &*requests[first],
                &requests[second],
                &requests[first],
                &last[end],
            ];
            let expected = [
                &*single[first],
                &single[second],
                &single[first],
                &single_last[end],
            ];
            let all = all.concat();
            assert_eq!(answers(&all), expected.concat(), "{all}");
        }
    }
}
