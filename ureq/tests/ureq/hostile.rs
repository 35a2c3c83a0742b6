//! Servers that break the protocol.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy::net::{Stream, TcpStream};
use evy_ureq::agent_with;
use ureq::{Agent, Error};

use crate::support::{Site, get, raw, read_head, settings, within};

/// An agent whose requests end in a time that does not pass in a test, and its good site.
fn agent() -> (Agent, Site) {
    let limited = settings().timeout_global(Some(Duration::from_secs(20)));
    (agent_with(limited.build()), Site::new(|_| "fine"))
}

/// Sends a request, and returns the body of the response, which must not be large.
fn fetch(agent: &Agent, url: &str) -> Result<Vec<u8>, Error> {
    let fetched = agent.get(url).call().and_then(|mut response| {
        response
            .body_mut()
            .with_config()
            .limit(100_000)
            .read_to_vec()
    });
    assert!(!matches!(fetched, Err(Error::Timeout(_))), "{url} hangs");
    fetched
}

/// Starts a server that handles connections by `serve`. Returns its URL, and how many of them have
/// ended, because the client closed them.
fn server(serve: impl Fn(&mut TcpStream) + Clone + 'static) -> (String, Rc<Cell<usize>>) {
    let ended = Rc::new(Cell::new(0));
    let count = Rc::clone(&ended);
    let url = raw(move |mut stream| {
        if read_head(&mut stream).is_some() {
            serve(&mut stream);
        }
        let mut discarded = [0; 1000];
        while let Ok(1..) = stream.read(&mut discarded) {}
        count.set(count.get() + 1);
    });
    (url, ended)
}

fn wait_until_ended(ended: &Cell<usize>, count: usize) {
    while ended.get() < count {
        evy::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_malformed_answer_is_an_error_and_ends_its_connection() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n";
    let chunked = |body: &str| format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}");
    let answers = [
        "nonsense\r\n\r\n".to_owned(),
        "HTTP/1.1 99999 OK\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n".into(),
        format!("{HEAD}Content-Length: -5\r\n\r\nhello"),
        format!("{HEAD}Content-Length: 99999999999999999999\r\n\r\nhello"),
        chunked("x\r\nhello\r\n0\r\n\r\n"),
        chunked("-5\r\nhello\r\n0\r\n\r\n"),
        chunked("fffffffffffffffff\r\nhello\r\n"),
        chunked("5\r\nhelloworld\r\n0\r\n\r\n"),
    ];
    for answer in answers {
        within(move || {
            let (agent, site) = agent();
            let sent = answer.clone();
            let (url, ended) = server(move |stream| stream.write_all(sent.as_bytes()).unwrap());
            let fetched = fetch(&agent, &url);
            assert!(fetched.is_err(), "{answer:?}: {fetched:?}");
            wait_until_ended(&ended, 1);
            assert_eq!(get(&agent, &site.url), "fine");
        });
    }
}

#[test]
fn an_answer_without_an_end_is_an_error_of_bounded_size() {
    let beginnings = [
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\nx: ", "y"),
        ("HTTP/1.1 200 OK\r\n\r\n", "body"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "4\r\nbody\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=",
            "y",
        ),
    ];
    for (begin, repeated) in beginnings {
        within(move || {
            let (agent, site) = agent();
            let sent = Rc::new(Cell::new(0));
            let count = Rc::clone(&sent);
            let (url, ended) = server(move |stream| {
                let piece = repeated.repeat(1000);
                let mut next = begin;
                while stream.write_all(next.as_bytes()).is_ok() {
                    count.set(count.get() + next.len());
                    next = &piece;
                }
            });
            let fetched = fetch(&agent, &url);
            assert!(fetched.is_err(), "{begin:?}");
            wait_until_ended(&ended, 1);
            // The system buffers much more than ureq reads.
            assert!(sent.get() < 20 << 20, "{begin:?}: {}", sent.get());
            assert_eq!(get(&agent, &site.url), "fine");
        });
    }
}

#[test]
fn a_reset_at_any_point_is_an_error() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world";
    within(|| {
        let (agent, site) = agent();
        for length in 0..ANSWER.len() {
            let url = raw(move |mut stream| {
                read_head(&mut stream);
                stream.write_all(&ANSWER.as_bytes()[..length]).unwrap();
                stream.reset();
            });
            let fetched = fetch(&agent, &url);
            assert!(
                matches!(fetched, Err(Error::Io(_))),
                "{length}: {fetched:?}"
            );
        }
        assert_eq!(get(&agent, &site.url), "fine");
    });
}

#[test]
fn endless_redirects_end_and_leave_no_connection() {
    for body in [0, 5, 3_000_000] {
        within(move || {
            let (agent, site) = agent();
            let (url, ended) = server(move |stream| {
                let head = format!(
                    "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: {body}\r\n\
                     Connection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).ok();
                stream.write_all(&vec![b'x'; body]).ok();
            });
            let fetched = fetch(&agent, &url);
            assert!(fetched.is_err(), "{body}");
            // The first request, and ten more.
            wait_until_ended(&ended, 11);
            assert_eq!(get(&agent, &site.url), "fine");
        });
    }
}
