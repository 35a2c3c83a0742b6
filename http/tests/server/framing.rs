//! Which requests are accepted, and how each one is answered.

use evy_http::{Body, Request, Response, Server};
use evy_test_support::within;

use super::{exchange, start, statuses};

fn echo(request: Request<Body>) -> Result<String, std::io::Error> {
    let host = request
        .headers()
        .get("host")
        .map(|host| host.to_str().unwrap_or("?").to_owned());
    let line = format!("{} {} ", request.uri(), host.unwrap_or_default());
    Ok(line + &request.into_body().into_text()?)
}

/// Each request is followed by another one, which is answered only if the first one was framed well
/// and the connection is kept.
fn statuses_of(request: &str) -> Vec<String> {
    let request = request.to_owned();
    within(move || {
        let addr = start(Server::default(), echo);
        let next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = exchange(addr, format!("{request}{next}").as_bytes());
        statuses(&answer).into_iter().map(str::to_owned).collect()
    })
}

#[test]
fn a_trailer_that_is_no_field_is_answered_with_400() {
    for trailer in [
        "X : y\r\n",
        " x: y\r\n",
        "X: y\r\n fol:ded\r\n",
        "X(: y\r\n",
        "X: a\x01b\r\n",
        "GET http://h:1/ HTTP/1.1\r\nHost: a\r\n",
        ": y\r\n",
        "X\r\n",
        "X: a\x7fb\r\n",
        "\tX: y\r\n",
        "X:\x0cy\r\n",
        "X: y\x0c\r\n",
    ] {
        let head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            statuses_of(&format!("{head}0\r\n{trailer}\r\n")),
            ["400"],
            "{trailer:?}"
        );
    }
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for trailer in [
        "X:\r\n",
        "X: y\r\nZ:  \tz \r\n",
        "Content-Length: 5\r\n",
        "X: \u{e4}\r\n",
    ] {
        assert_eq!(
            statuses_of(&format!("{head}0\r\n{trailer}\r\n")),
            ["200", "200"],
            "{trailer:?}"
        );
    }
}

#[test]
fn the_trailers_of_a_body_are_given_on_request() {
    within(|| {
        let addr = start(Server::default(), |request| {
            let mut body = request.into_body();
            let early = body.take_trailers().is_none();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut body, &mut text)?;
            let trailers = body.take_trailers().unwrap_or_default();
            Ok::<_, std::io::Error>(format!("{early} {text} {trailers:?}"))
        });
        let answer = exchange(
            addr,
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
              2\r\nhi\r\n0\r\nX: y\r\nHost: b\r\nContent-Length: 7\r\n\r\n",
        );
        assert!(answer.ends_with("true hi {\"x\": \"y\"}"), "{answer}");
    });
}

#[test]
fn a_malformed_host_is_answered_with_400_and_a_host_in_the_target_wins() {
    for host in ["a:x", "a:99999", "a:-1", "[a]"] {
        assert_eq!(
            statuses_of(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            ["400"]
        );
    }
    for request in [
        "GET /x HTTP/1.1\r\nHost: a%41\r\n\r\n",
        "GET http://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n",
    ] {
        assert_eq!(statuses_of(request), ["200", "200"], "{request:?}");
    }
    within(|| {
        let addr = start(Server::default(), echo);
        let request = b"GET http://b:1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert!(exchange(addr, request).ends_with("http://b:1/x b:1 "));
    });
}

#[test]
fn a_later_minor_version_is_served_as_1_1_and_another_major_version_is_answered_with_505() {
    assert_eq!(
        statuses_of("GET /x HTTP/1.2\r\nHost: a\r\n\r\n"),
        ["200", "200"]
    );
    assert_eq!(statuses_of("GET /x HTTP/2.0\r\nHost: a\r\n\r\n"), ["505"]);
    assert_eq!(statuses_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ["505"]);
    assert_eq!(statuses_of("GET /x HTTP/1.11\r\nHost: a\r\n\r\n"), ["400"]);
}

#[test]
fn a_transfer_coding_that_is_not_known_is_answered_with_501() {
    let coded = |coding: &str| {
        statuses_of(&format!(
            "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"
        ))
    };
    assert_eq!(coded("gzip, chunked"), ["501"]);
    assert_eq!(coded("chunked, gzip"), ["400"]);
    assert_eq!(coded("chunked, chunked"), ["400"]);
    assert_eq!(coded("CHUNKED"), ["200", "200"]);
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(statuses_of(&format!("{post}\r\n\r\n")), ["200", "200"]);
    assert_eq!(statuses_of(&"\r\n".repeat(5)), ["200"]);
    assert_eq!(statuses_of("\r\n\n"), ["400"]);
}

#[test]
fn a_response_with_status_205_has_no_body() {
    within(|| {
        for handler in [
            |_| {
                Response::builder()
                    .status(205)
                    .body(Body::from("eighteen bytes"))
            },
            |_| {
                Response::builder()
                    .status(205)
                    .body(Body::from_reader(&b"streamed"[..]))
            },
        ] {
            let addr = start(Server::default(), handler);
            let answer = exchange(
                addr,
                &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2)[..]
                    .iter()
                    .copied()
                    .chain(*b"GET / HTTP/1.0\r\n\r\n")
                    .collect::<Vec<_>>(),
            );
            assert_eq!(statuses(&answer), ["205"; 3], "{answer}");
            assert_eq!(
                answer.matches("content-length: 0\r\n").count(),
                3,
                "{answer}"
            );
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
    });
}

#[test]
fn options_of_the_whole_server_and_the_absolute_form_reach_the_handler() {
    within(|| {
        let addr = start(Server::default(), echo);
        let answer = exchange(
            addr,
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n\
              GET http://a//x/%2F?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        assert!(answer.contains("\r\n\r\n* a HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("http://a//x/%2F?y a "), "{answer}");
    });
}

#[test]
fn keep_alive_is_announced_with_its_timeout_to_a_client_that_names_it() {
    within(|| {
        let addr = start(Server::default(), echo);
        let answer = exchange(
            addr,
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n\
              GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
              GET / HTTP/1.1\r\nHost: a\r\n\r\n\
              GET / HTTP/1.0\r\n\r\n",
        );
        assert_eq!(
            answer.matches("keep-alive: timeout=60\r\n").count(),
            2,
            "{answer}"
        );
        assert_eq!(
            answer.matches("connection: keep-alive\r\n").count(),
            1,
            "{answer}"
        );
        assert_eq!(
            answer.matches("connection: close\r\n").count(),
            1,
            "{answer}"
        );
    });
}

#[test]
fn the_server_header_is_optional() {
    within(|| {
        let request = b"GET / HTTP/1.0\r\n\r\n";
        let named = start(Server::builder().server_header("evy/1").build(), echo);
        assert!(exchange(named, request).contains("\r\nserver: evy/1\r\n"));
        assert!(!exchange(start(Server::default(), echo), request).contains("server:"));
    });
}
