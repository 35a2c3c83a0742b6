//! Redirects.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;

use evy_http::{Body, Client, Request, RequestOptions, ResponseExt, StatusCode};
use evy_test_support::within;

use super::{answers, ok, read_head, server, text};

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved")
}

/// Starts a server that redirects `/` with `status` to `/next`. Returns its URL, and the requests
/// with their bodies.
fn redirecting(status: u16) -> (String, mpsc::Receiver<String>) {
    let (requests, received) = mpsc::channel();
    let addr = server(move |_, mut stream| {
        while let Some(head) = read_head(&mut stream) {
            let length = head.split("content-length: ").nth(1);
            let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            let mut body = vec![0; length];
            if head.contains("chunked") {
                let mut byte = [0];
                while !body.ends_with(b"0\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    body.push(byte[0]);
                }
            } else {
                stream.read_exact(&mut body).unwrap();
            }
            let is_first = head.split(' ').nth(1) == Some("/");
            requests
                .send(head + &String::from_utf8(body).unwrap())
                .unwrap();
            let answer = match is_first {
                true => redirect(status, "/next"),
                false => ok("done"),
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (format!("http://{addr}/"), received)
}

#[test]
fn the_method_and_the_body_after_a_redirect_depend_on_the_status() {
    for (status, method, next) in [
        (301, "GET", "GET"),
        (301, "HEAD", "HEAD"),
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (302, "POST", "GET"),
        (302, "DELETE", "DELETE"),
        (303, "GET", "GET"),
        (303, "HEAD", "HEAD"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (307, "POST", "POST"),
        (307, "GET", "GET"),
        (308, "PUT", "PUT"),
    ] {
        within(move || {
            let (url, requests) = redirecting(status);
            let has_body = !["GET", "HEAD", "DELETE"].contains(&method);
            let body = if has_body { "hello" } else { "" };
            let request = Request::builder()
                .method(method)
                .uri(&url)
                .header("content-type", "text/plain")
                .body(body)
                .unwrap();
            let response = Client::new().request(request).unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{status} {method}");
            assert_eq!(response.uri().unwrap().to_string(), format!("{url}next"));
            drop(response);
            let requests: Vec<_> = requests.try_iter().collect();
            assert_eq!(requests.len(), 2, "{status} {method}");
            let second = &requests[1];
            assert!(
                second.starts_with(&format!("{next} /next HTTP/1.1\r\n")),
                "{second}"
            );
            let keeps_body = next == method;
            assert_eq!(second.contains("content-type"), keeps_body, "{second}");
            assert_eq!(
                second.ends_with("hello"),
                has_body && keeps_body,
                "{second}"
            );
        });
    }
}

#[test]
fn a_redirect_is_returned_if_the_body_cannot_be_sent_again() {
    within(|| {
        let (url, requests) = redirecting(307);
        let streamed = || Body::from_reader(&b"hello"[..]);
        let request = Request::post(&url).body(streamed()).unwrap();
        let response = Client::new().request(request).unwrap();
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()["location"], "/next");
        assert_eq!(response.into_body().into_text().unwrap(), "moved");
        assert_eq!(requests.try_iter().count(), 1);
        // A redirect that drops the body can be followed.
        let (url, requests) = redirecting(303);
        let request = Request::post(&url).body(streamed()).unwrap();
        assert_eq!(text(Client::new().request(request)).unwrap(), "done");
        assert!(
            requests
                .try_iter()
                .last()
                .unwrap()
                .starts_with("GET /next ")
        );
    });
}

#[test]
fn a_large_body_in_memory_is_sent_again() {
    within(|| {
        let (url, requests) = redirecting(308);
        let request = Request::put(&url).body(vec![b'x'; 300_000]).unwrap();
        assert_eq!(text(Client::new().request(request)).unwrap(), "done");
        let lengths: Vec<_> = requests.try_iter().map(|request| request.len()).collect();
        assert!(lengths.len() == 2 && lengths.iter().all(|length| *length > 300_000));
    });
}

#[test]
fn more_redirects_than_allowed_are_an_error() {
    within(|| {
        let looping = |count| answers((0..count).map(|_| redirect(302, "/again")));
        let addr = looping(20);
        let url = format!("http://{addr}/");
        let error = Client::new().get(&url).unwrap_err();
        assert!(
            error.to_string().contains("more than 10 redirects"),
            "{error}"
        );
        let url = format!("http://{}/", looping(3));
        let client = Client::builder().max_redirects(2).build();
        client.get(&url).unwrap_err();
        // None at all means that the program follows them.
        let url = format!("http://{}/", looping(1));
        let options = RequestOptions::new().max_redirects(0);
        let request = Request::get(&url).extension(options).body(()).unwrap();
        let response = client.request(request).unwrap();
        assert_eq!(response.status(), StatusCode::FOUND);
        // As many as allowed are followed.
        let twice = [redirect(302, "/a"), redirect(302, "b?c"), ok("done")];
        let url = format!("http://{}/", answers(twice));
        let response = client.get(&url).unwrap();
        assert_eq!(response.uri().unwrap().to_string(), format!("{url}b?c"));
    });
}

#[test]
fn a_redirect_keeps_the_connection() {
    within(|| {
        let addr = answers([redirect(302, "/a"), redirect(302, "/b"), ok("done")]);
        let client = Client::new();
        assert_eq!(
            text(client.get(&format!("http://{addr}/"))).unwrap(),
            "done"
        );
    });
}

#[test]
fn credentials_and_the_host_do_not_follow_to_another_origin() {
    within(|| {
        let start = |answer: fn(usize) -> String| {
            let (heads, received) = mpsc::channel();
            let addr = server(move |_, mut stream| {
                for number in 0.. {
                    let Some(head) = read_head(&mut stream) else {
                        break;
                    };
                    heads.send(head).unwrap();
                    stream.write_all(answer(number).as_bytes()).unwrap();
                }
            });
            (addr, received)
        };
        let (other, other_heads) = start(|_| ok("done"));
        let (heads, received) = mpsc::channel();
        let first = server(move |_, mut stream| {
            for to in ["/same".to_owned(), format!("http://{other}/")] {
                heads.send(read_head(&mut stream).unwrap()).unwrap();
                stream.write_all(redirect(302, &to).as_bytes()).unwrap();
            }
        });
        let request = Request::get(format!("http://{first}/"))
            .header("authorization", "secret")
            .header("cookie", "secret")
            .header("proxy-authorization", "secret")
            .header("host", "secret")
            .header("x-other", "kept")
            .body(())
            .unwrap();
        assert_eq!(text(Client::new().request(request)).unwrap(), "done");
        for head in received.try_iter().take(2) {
            assert_eq!(head.matches("secret").count(), 4, "{head}");
        }
        let head = other_heads.recv().unwrap();
        assert!(!head.contains("secret"), "{head}");
        assert!(head.contains("x-other: kept") && head.contains(&format!("host: {other}\r\n")));
    });
}

#[test]
fn a_redirect_that_leads_nowhere_is_returned_or_an_error() {
    for (answer, kind) in [
        (
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            None,
        ),
        (redirect(304, "/a"), None),
        (redirect(300, "/a"), None),
        (redirect(305, "/a"), None),
        (redirect(201, "/a"), None),
        (redirect(302, "http://"), Some(ErrorKind::InvalidData)),
        (redirect(302, "http:path"), Some(ErrorKind::InvalidData)),
        (
            redirect(302, "/a\r\nLocation: /b"),
            Some(ErrorKind::InvalidData),
        ),
        (
            redirect(302, "ftp://localhost/"),
            Some(ErrorKind::Unsupported),
        ),
        (
            redirect(302, "http://user@localhost/"),
            Some(ErrorKind::InvalidInput),
        ),
        (
            redirect(302, "http://localhost:99999/"),
            Some(ErrorKind::InvalidInput),
        ),
    ] {
        within(move || {
            let addr = answers([answer.clone()]);
            let response = Client::new().get(&format!("http://{addr}/"));
            assert_eq!(
                response.map_err(|error| error.kind()).err(),
                kind,
                "{answer:?}"
            );
        });
    }
}

#[test]
fn a_location_is_resolved_against_the_url_that_it_came_from() {
    for (location, expected) in [
        ("c", "/a/c"),
        ("../c", "/c"),
        ("?q=1", "/a/b?q=1"),
        ("/c d", "/c%20d"),
        ("/\u{e4}#f", "/%C3%A4"),
        ("", "/a/b?q"),
    ] {
        within(move || {
            let addr = answers([redirect(302, location), ok("done")]);
            let response = Client::new().get(&format!("http://{addr}/a/b?q")).unwrap();
            let uri = response.uri().unwrap().to_string();
            assert_eq!(uri, format!("http://{addr}{expected}"), "{location:?}");
        });
    }
}
