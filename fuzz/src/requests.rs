//! Requests, as a server reads them.

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;

use evy_http::{Body, Request, Response, Server};
use evy_test_support::mock_stream::MockStream;

use crate::reference::{self, Message};

/// A request that the handler got.
#[derive(Debug, PartialEq)]
struct Seen {
    start: (String, String),
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    is_whole: bool,
}

/// Checks what a server makes of `bytes`, which are all that a client sends.
///
/// # Panics
///
/// Panics if that depends on how the bytes arrive, if the reference reads other requests, or if the
/// answers are malformed.
pub fn check_requests(bytes: &[u8]) {
    let (seen, answers) = serve(&[bytes]);
    let (seen_in_pieces, answers_to_pieces) = serve(&crate::pieces(bytes));
    assert_eq!(seen, seen_in_pieces, "the requests depend on the pieces");
    assert_eq!(
        String::from_utf8_lossy(&answers),
        String::from_utf8_lossy(&answers_to_pieces),
        "the answers depend on the pieces"
    );
    let mut rest = bytes;
    for request in &seen {
        let expected = reference::request(rest).expect("the reference rejects the request");
        check_request(request, &expected);
        match expected.length {
            Some(length) => rest = &rest[length..],
            None => assert!(
                !request.is_whole,
                "the reference finds no end of {request:?}"
            ),
        }
    }
    check_answers(&answers, &seen);
}

fn serve(pieces: &[&[u8]]) -> (Vec<Seen>, Vec<u8>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let stream = MockStream::new(pieces);
    let writes = Rc::clone(&stream.writes);
    let handler = |request: Request<Body>| {
        let (parts, mut body) = request.into_parts();
        let mut bytes = Vec::new();
        let outcome = body.read_to_end(&mut bytes);
        let copy = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        seen.borrow_mut().push(Seen {
            start: (parts.method.to_string(), parts.uri.to_string()),
            headers: parts.headers.iter().map(copy).collect(),
            body: bytes,
            is_whole: outcome.is_ok(),
        });
        outcome.map(|_| {
            Response::builder()
                .header("date", "now")
                .body("ok")
                .expect("is valid")
        })
    };
    let server = Server::builder()
        .allow_connect(true)
        .max_body_bytes(1 << 16)
        .build();
    // An error ends the connection only.
    server.serve_connection(stream, (), handler).ok();
    let bytes = writes.borrow().concat();
    (seen.take(), without_dates(&bytes))
}

/// The server adds the date to the answers of its own.
fn without_dates(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines
        .filter(|line| !line.starts_with(b"date: "))
        .flatten()
        .copied()
        .collect()
}

fn check_request(request: &Seen, expected: &Message) {
    assert_eq!(request.start.0, expected.start.0);
    // A target without a path has `/`.
    let (found, target) = (&request.start.1, &expected.start.1);
    let same_target = found == target || normalized(found) == normalized(target);
    assert!(same_target, "{found:?} for {target:?}");
    let mut headers = expected.headers.clone();
    let mut found = request.headers.clone();
    // The host of the target replaces the header.
    let is_host = |(name, _): &(String, Vec<u8>)| name == "host";
    if !target.starts_with('/') {
        headers.retain(|header| !is_host(header));
        found.retain(|header| !is_host(header));
    }
    headers.sort();
    found.sort();
    assert_eq!(found, headers);
    if request.is_whole {
        assert_eq!(request.body, expected.body);
    } else {
        assert!(expected.body.starts_with(&request.body));
    }
}

/// A URI in the form that `http` writes: scheme and host in lower case, and never without a path.
fn normalized(target: &str) -> String {
    match target.parse::<http::Uri>() {
        Ok(uri) => uri.to_string(),
        Err(_) => target.to_owned(),
    }
}

/// Checks that there is one answer to each request, and at most one more.
fn check_answers(answers: &[u8], seen: &[Seen]) {
    let mut rest = answers;
    let mut count = 0;
    while !rest.is_empty() {
        let mut table = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut table);
        let Ok(httparse::Status::Complete(mut length)) = head.parse(rest) else {
            panic!("malformed answers: {}", String::from_utf8_lossy(answers));
        };
        if head.code == Some(200) && seen[count].start.0 != "HEAD" {
            length += 2;
        }
        if head.code != Some(100) {
            count += 1;
        }
        rest = &rest[length..];
    }
    assert!(
        count == seen.len() || count == seen.len() + 1,
        "{count} answers to {seen:?}"
    );
}
