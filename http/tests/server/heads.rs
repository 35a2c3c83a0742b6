//! Request heads: their limits, what is malformed, and what a handler sees of them.

use evy_http::{Body, Request, Server, decoded_path};
use evy_test_support::within;

use super::{exchange, start, statuses};

fn ok(_request: Request<Body>) -> &'static str {
    "ok"
}

/// A request that a server must not answer if the one before ends the connection.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Sends a head and another request, and asserts that only the first one is answered, with
/// `status`.
fn assert_refused(server: &Server, head: &str, status: &str) {
    let addr = start(server.clone(), ok);
    let answer = exchange(addr, format!("{head}\r\n{NEXT}").as_bytes());
    assert_eq!(statuses(&answer), [status], "{head}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

fn assert_accepted(server: &Server, head: &str) {
    let addr = start(server.clone(), ok);
    let answer = exchange(addr, format!("{head}\r\n{NEXT}").as_bytes());
    assert_eq!(statuses(&answer), ["200", "200"], "{head}");
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}")
}

#[test]
fn a_target_over_the_configurable_limit_is_answered_with_414() {
    within(|| {
        let long = |bytes: usize| get(&format!("/{}", "x".repeat(bytes - 1)), "");
        let default = Server::default();
        assert_accepted(&default, &long(8 * 1024));
        assert_refused(&default, &long(8 * 1024 + 1), "414");
        // Without an end, too.
        assert_refused(&default, &"GET /x".repeat(5000), "414");
        let short = Server::builder().max_target_bytes(100).build();
        assert_accepted(&short, &long(100));
        assert_refused(&short, &long(101), "414");
        let wide = Server::builder()
            .max_target_bytes(20_000)
            .max_head_bytes(40_000)
            .build();
        assert_accepted(&wide, &long(20_000));
    });
}

#[test]
fn a_header_line_that_is_too_long_or_too_many_headers_are_answered_with_431() {
    within(|| {
        let default = Server::default();
        let long = |bytes: usize| get("/", &format!("X: {}\r\n", "y".repeat(bytes)));
        let many = |lines: usize| get("/", &"X: y\r\n".repeat(lines));
        assert_accepted(&default, &long(30_000));
        assert_refused(&default, &long(33_000), "431");
        assert_accepted(&default, &many(99));
        assert_refused(&default, &many(100), "431");
        assert_refused(&default, &get("/", &"X: y\r\n".repeat(10_000)), "431");
        let small = Server::builder().max_head_bytes(200).max_headers(2).build();
        assert_accepted(&small, &many(1));
        assert_refused(&small, &many(2), "431");
        assert_refused(&small, &long(200), "431");
    });
}

#[test]
fn a_content_length_that_is_not_a_number_is_answered_with_400_and_never_500() {
    within(|| {
        let server = Server::default();
        for length in [
            "text",
            "",
            " ",
            "-1",
            "+1",
            "1.0",
            "1 2",
            "0x1",
            "1e1",
            "\u{661}",
            "99999999999999999999",
        ] {
            let head = get("/", &format!("Content-Length: {length}\r\n"));
            assert_refused(&server, &head, "400");
        }
    });
}

#[test]
fn a_content_length_beside_a_transfer_encoding_is_answered_with_400_and_closes() {
    within(|| {
        let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
        for headers in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
            assert_refused(&Server::default(), &get("/", &headers), "400");
        }
    });
}

#[test]
fn framing_that_others_accept_and_two_readers_could_understand_differently_is_refused() {
    within(|| {
        let server = Server::default();
        let chunked = get("/", "Transfer-Encoding: chunked\r\n");
        fn read(request: Request<Body>) -> std::io::Result<Vec<u8>> {
            request.into_body().into_bytes()
        }
        let addr = start(server.clone(), read);
        for chunks in [
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhellojunk\r\n0\r\n\r\n",
            "5\r\nhello\r\njunk0\r\n\r\n",
        ] {
            let answer = exchange(addr, format!("{chunked}\r\n{chunks}{NEXT}").as_bytes());
            assert_eq!(statuses(&answer), ["400"], "{chunks}");
        }
        let lengths = "Content-Length: 5\r\nContent-Length: 6\r\n";
        assert_refused(&server, &get("/", lengths), "400");
        assert_refused(&server, "GET / HTTP/1.1\r\n", "400");
        // The body must not be read as the next request.
        let head = get("/", "Transfer-Encoding: gzip, chunked\r\n");
        assert_refused(&server, &format!("{head}\r\n1e\r\n"), "501");
    });
}

#[test]
fn the_values_of_headers_are_trimmed_and_those_of_equal_names_are_kept_in_order() {
    fn values(request: Request<Body>) -> String {
        let values = request.headers().get_all("x").into_iter();
        let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
        format!("{values:?}")
    }
    within(|| {
        let addr = start(Server::default(), values);
        let head = get(
            "/",
            "X:a\r\nx: \t b c \t\r\nY: y\r\nX:\r\nConnection: close\r\n",
        );
        let answer = exchange(addr, format!("{head}\r\n").as_bytes());
        assert!(
            answer.ends_with("\r\n\r\n[\"a\", \"b c\", \"\"]"),
            "{answer}"
        );
    });
}

#[test]
fn header_names_have_no_case_and_one_with_an_underscore_is_not_one_with_a_hyphen() {
    fn user(request: Request<Body>) -> String {
        let headers = request.headers();
        let [hyphen, underscore] = ["x-user", "x_user"].map(|name| headers.get(name));
        format!("{hyphen:?} {underscore:?}")
    }
    within(|| {
        let addr = start(Server::default(), user);
        let head = get(
            "/",
            "X_User: admin\r\nX-USER: guest\r\nConnection: close\r\n",
        );
        let answer = exchange(addr, format!("{head}\r\n").as_bytes());
        assert!(
            answer.ends_with("Some(\"guest\") Some(\"admin\")"),
            "{answer}"
        );
    });
}

#[test]
fn a_header_value_that_is_not_utf_8_is_kept() {
    fn value(request: Request<Body>) -> Vec<u8> {
        request.headers()["x"].as_bytes().to_vec()
    }
    within(|| {
        use std::io::{Read, Write};
        let mut stream = super::connect(start(Server::default(), value));
        stream
            .write_all(b"GET / HTTP/1.0\r\nX: caf\xe9 \xff\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(b"\r\n\r\ncaf\xe9 \xff"));
    });
}

#[test]
fn a_handler_sees_the_path_as_it_was_sent_and_can_have_it_decoded() {
    fn both(request: Request<Body>) -> Vec<u8> {
        let uri = request.uri();
        [uri.path().as_bytes(), b" ", &*decoded_path(uri)].concat()
    }
    within(|| {
        use std::io::{Read, Write};
        let addr = start(Server::default(), both);
        for (target, expected) in [
            ("/a%20b%2Fc?d=%20", &b"/a%20b%2Fc /a b/c"[..]),
            ("//a//b/", b"//a//b/ //a//b/"),
            ("/a/../b", b"/a/../b /a/../b"),
            ("/caf%C3%A9", b"/caf%C3%A9 /caf\xc3\xa9"),
            ("/caf%E9", b"/caf%E9 /caf\xe9"),
            ("/café", b"/caf\xc3\xa9 /caf\xc3\xa9"),
            ("/100%/%zz", b"/100%/%zz /100%/%zz"),
            ("http://b/%41", b"/%41 /A"),
        ] {
            let mut stream = super::connect(addr);
            let request = format!("GET {target} HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(
                answer.ends_with(&[b"\r\n\r\n", expected].concat()),
                "{target}: {:?}",
                String::from_utf8_lossy(&answer)
            );
        }
    });
}
