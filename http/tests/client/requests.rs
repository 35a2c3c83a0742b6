//! What the client sends, and what it refuses to send.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;

use evy_http::{Body, Client, HeaderValue, Request, StatusCode, Uri};
use evy_test_support::within;

use super::{ok, read_head, server, text};

/// Returns the head that a client sends for `request`, which goes to a server of this test.
fn head(client: &Client, change: impl FnOnce(&mut Request<Body>)) -> String {
    let (heads, received) = mpsc::channel();
    let addr = server(move |_, mut stream| {
        heads.send(read_head(&mut stream).unwrap()).unwrap();
        stream.write_all(ok("").as_bytes()).unwrap();
    });
    let mut request = Request::get(format!("http://{addr}/"))
        .body(Body::empty())
        .unwrap();
    change(&mut request);
    client.request(request).unwrap();
    received.recv().unwrap().replace(&addr.to_string(), "ADDR")
}

/// Sets the target of a request, and keeps its host.
fn set_target(request: &mut Request<Body>, target: &str) {
    let authority = request.uri().authority().unwrap();
    *request.uri_mut() = format!("http://{authority}{target}").parse().unwrap();
}

#[test]
fn the_head_of_a_request_has_a_host_and_a_user_agent() {
    within(|| {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            head(&Client::new(), |_| ()),
            format!("GET / HTTP/1.1\r\nhost: ADDR\r\nuser-agent: evy/{version}\r\n\r\n")
        );
        let named = HeaderValue::from_static("crawler/2");
        let client = Client::builder().user_agent(named).build();
        assert!(head(&client, |_| ()).contains("\r\nuser-agent: crawler/2\r\n"));
        let own = head(&client, |request| {
            let own = HeaderValue::from_static("own");
            request.headers_mut().insert("user-agent", own);
        });
        assert!(own.contains("\r\nuser-agent: own\r\n") && !own.contains("crawler"));
        let client = Client::builder().user_agent(None).build();
        assert!(!head(&client, |_| ()).contains("user-agent"));
    });
}

#[test]
fn the_target_of_a_request_contains_only_what_a_url_may_contain() {
    for (target, expected) in [
        ("", "/"),
        ("/", "/"),
        ("?q", "/?q"),
        ("/a//b/../c", "/a//b/../c"),
        ("/%41%zz", "/%41%zz"),
        ("/a?b={c|d}", "/a?b=%7Bc%7Cd%7D"),
        ("/a#fragment", "/a"),
        ("/\u{e4}", "/%C3%A4"),
    ] {
        within(move || {
            let head = head(&Client::new(), |request| set_target(request, target));
            assert!(
                head.starts_with(&format!("GET {expected} HTTP/1.1\r\n")),
                "{target}: {head}"
            );
        });
    }
}

#[test]
fn a_url_that_is_malformed_or_has_no_host_is_refused() {
    for (url, kind) in [
        ("http://", ErrorKind::InvalidInput),
        ("http:///path", ErrorKind::InvalidInput),
        ("http://:80/", ErrorKind::InvalidInput),
        ("http://user@localhost/", ErrorKind::InvalidInput),
        ("http://user:pass@localhost/", ErrorKind::InvalidInput),
        ("http://@localhost/", ErrorKind::InvalidInput),
        ("http://localhost:65536/", ErrorKind::InvalidInput),
        ("http://localhost:99999/", ErrorKind::InvalidInput),
        ("http://localhost:4294967376/", ErrorKind::InvalidInput),
        ("http://localhost:-1/", ErrorKind::InvalidInput),
        ("http://localhost:+80/", ErrorKind::InvalidInput),
        ("http://localhost:0x50/", ErrorKind::InvalidInput),
        ("http://localhost:80:80/", ErrorKind::InvalidInput),
        ("http://[::1/", ErrorKind::InvalidInput),
        ("http://::1/", ErrorKind::InvalidInput),
        ("http://[::1]:99999/", ErrorKind::InvalidInput),
        ("http://[localhost]/", ErrorKind::InvalidInput),
        ("http://[::1]x/", ErrorKind::InvalidInput),
        ("http://local host/", ErrorKind::InvalidInput),
        ("http://localhost/a b", ErrorKind::InvalidInput),
        ("http://localhost/\t", ErrorKind::InvalidInput),
        ("http://localhost/\r\nX: y", ErrorKind::InvalidInput),
        ("http://localhost/\0", ErrorKind::InvalidInput),
        ("http://localhost\\@other/", ErrorKind::InvalidInput),
        ("/path", ErrorKind::InvalidInput),
        ("localhost", ErrorKind::InvalidInput),
        ("", ErrorKind::InvalidInput),
        ("ftp://localhost/", ErrorKind::Unsupported),
        ("file:///etc/passwd", ErrorKind::InvalidInput),
    ] {
        within(move || {
            let error = evy_http::get(url).unwrap_err();
            assert_eq!(error.kind(), kind, "{url:?}: {error}");
        });
    }
}

#[test]
fn headers_that_a_server_could_misunderstand_are_refused() {
    for (headers, message) in [
        (&[("host", "a"), ("host", "b")][..], "Host"),
        (&[("host", "a"), ("host", "a")], "Host"),
        (&[("host", "a b")], "Host"),
        (&[("host", "a/b")], "Host"),
        (&[("host", "a:99999")], "Host"),
        (&[("content-length", "3")], "Content-Length"),
        (
            &[("content-length", "5"), ("content-length", "5")],
            "Content-Length",
        ),
        (&[("content-length", "+5")], "Content-Length"),
        (
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            "Transfer-Encoding",
        ),
        (
            &[("transfer-encoding", "gzip, chunked")],
            "Transfer-Encoding",
        ),
        (
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            "Transfer-Encoding",
        ),
        (&[("transfer-encoding", "identity")], "Transfer-Encoding"),
    ] {
        within(move || {
            // Nothing listens at this port, so the error must come before connecting.
            let mut request = Request::post("http://127.0.0.1:1/").body("hello").unwrap();
            for (name, value) in headers {
                let value = HeaderValue::from_static(value);
                request.headers_mut().append(*name, value);
            }
            let error = Client::new().request(request).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidInput,
                "{headers:?}: {error}"
            );
            assert!(error.to_string().contains(message), "{headers:?}: {error}");
        });
    }
}

#[test]
fn a_host_and_a_length_that_the_program_sets_are_respected() {
    within(|| {
        let own = head(&Client::new(), |request| {
            let host = HeaderValue::from_static("virtual:8");
            request.headers_mut().insert("host", host);
        });
        assert_eq!(own.matches("host: ").count(), 1);
        assert!(own.contains("\r\nhost: virtual:8\r\n"));
        let chunked = head(&Client::new(), |request| {
            let coding = HeaderValue::from_static("chunked");
            request.headers_mut().insert("transfer-encoding", coding);
            *request.body_mut() = "hello".into();
        });
        assert!(chunked.contains("transfer-encoding: chunked\r\n"));
        assert!(!chunked.contains("content-length"));
    });
}

#[test]
fn connect_is_not_supported() {
    within(|| {
        let mut request = Request::connect("http://127.0.0.1:1/").body(()).unwrap();
        let error = Client::new().request(request.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        *request.uri_mut() = Uri::from_static("127.0.0.1:1");
        Client::new().request(request).unwrap_err();
    });
}

#[test]
fn a_host_may_be_an_ipv6_address() {
    within(|| {
        let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
            // Not every system has IPv6.
            return;
        };
        let addr = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let head = read_head(&mut stream).unwrap();
            stream.write_all(ok("").as_bytes()).unwrap();
            head
        });
        let response = evy_http::get(&format!("http://{addr}/")).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            serving
                .join()
                .unwrap()
                .contains(&format!("host: {addr}\r\n"))
        );
    });
}

#[test]
fn a_post_has_its_body_and_a_malformed_url_is_an_error() {
    within(|| {
        let (sender, received) = mpsc::channel();
        let addr = server(move |_, mut stream| {
            let head = read_head(&mut stream).unwrap();
            let mut body = [0; 5];
            stream.read_exact(&mut body).unwrap();
            sender.send((head, body)).unwrap();
            stream.write_all(ok("fine").as_bytes()).unwrap();
        });
        let client = Client::new();
        let answer = client.post(&format!("http://{addr}/words"), "hello");
        assert_eq!(text(answer).unwrap(), "fine");
        let (head, body) = received.recv().unwrap();
        assert!(head.starts_with("POST /words HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-length: 5\r\n"), "{head}");
        assert_eq!(&body, b"hello");

        let error = client.post("http://a b/", "hello").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("'http://a b/'"), "{error}");
    });
}
