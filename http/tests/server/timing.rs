//! Slow clients, and timeouts of handlers.

use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Server, StatusCode};
use evy_runtime::timeout;
use evy_test_support::within;

use super::{connect, exchange, read_to_end, read_until, start, statuses};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_body_that_stalls_is_answered_with_408_after_one_timeout() {
    static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let report = |error: &std::io::Error| REPORTS.lock().unwrap().push(error.to_string());
        let server = Server::builder().io_timeout(SHORT * 5).on_error(report);
        let addr = start(server.build(), |request| request.into_body().into_text());
        for head in [
            "Content-Length: 100\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nab",
        ] {
            let start = Instant::now();
            let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{head}");
            let mut stream = connect(addr);
            stream.write_all(request.as_bytes()).unwrap();
            let answer = read_until(&mut stream, "\r\n\r\n");
            let took = start.elapsed();
            assert_eq!(statuses(&answer), ["408"], "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
            assert!(took >= SHORT * 5 && took < SHORT * 9, "{took:?}");
        }
        assert!(REPORTS.lock().unwrap().is_empty());
    });
}

#[test]
fn a_body_that_drips_is_answered_with_408() {
    fn read(request: Request<Body>) -> std::io::Result<String> {
        request.into_body().into_text()
    }
    within(|| {
        let slow = Server::builder()
            .io_timeout(SHORT * 2)
            .min_rate(1000)
            .build();
        let long = Server::builder()
            .min_rate(0)
            .body_timeout(Some(SHORT * 2))
            .build();
        for server in [slow, long] {
            let addr = start(server, read);
            let mut stream = connect(addr);
            stream
                .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
                .unwrap();
            let mut writer = stream.try_clone().unwrap();
            thread::spawn(move || {
                while writer.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(20));
                }
            });
            let answer = read_until(&mut stream, "\r\n\r\n");
            assert_eq!(statuses(&answer), ["408"], "{answer}");
        }
    });
}

#[test]
fn a_steady_upload_may_take_longer_than_one_timeout() {
    within(|| {
        let server = Server::builder().io_timeout(SHORT).min_rate(100).build();
        let addr = start(server, |request| request.into_body().into_text());
        let mut stream = connect(addr);
        stream
            .write_all(b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3000\r\n\r\n")
            .unwrap();
        for _ in 0..30 {
            thread::sleep(Duration::from_millis(20));
            stream.write_all(&[b'x'; 100]).unwrap();
        }
        assert_eq!(statuses(&read_to_end(&mut stream)), ["200"]);
    });
}

#[test]
fn a_client_that_reads_too_slowly_is_cut_off() {
    within(|| {
        let server = Server::builder().io_timeout(SHORT).build();
        let addr = start(server, |_| Body::from_reader(std::io::repeat(b'x')));
        let mut stream = connect(addr);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        thread::sleep(SHORT * 5);
        let mut sink = vec![0; 1 << 20];
        let error = loop {
            match stream.read(&mut sink) {
                Ok(0) => panic!("the end of the stream"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_timeout_around_reading_a_body_leaves_the_connection_able_to_answer() {
    within(|| {
        let addr = start(Server::default(), |request| {
            let mut body = request.into_body();
            let read = timeout(SHORT, || std::io::read_to_string(&mut body));
            match (
                read,
                timeout(SHORT * 20, || std::io::read_to_string(&mut body)),
            ) {
                (Err(_), _) if body.length() == Some(5) => (StatusCode::GATEWAY_TIMEOUT, "".into()),
                (Err(_), Ok(rest)) => (StatusCode::OK, rest.unwrap()),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            }
        });
        let mut stream = connect(addr);
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
            .unwrap();
        thread::sleep(SHORT * 2);
        stream.write_all(b"56789").unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n56789");
        assert_eq!(statuses(&answer), ["200"]);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(statuses(&read_to_end(&mut stream)).len(), 1);
    });
}

#[test]
fn a_handler_that_gives_up_on_a_body_can_answer_at_once() {
    within(|| {
        let addr = start(Server::default(), |request| {
            match timeout(SHORT, || request.into_body().into_text()) {
                Err(_) => (StatusCode::GATEWAY_TIMEOUT, String::new()),
                Ok(text) => (StatusCode::OK, text.unwrap()),
            }
        });
        for head in [
            "Content-Length: 10\r\n\r\n01234",
            "Transfer-Encoding: chunked\r\n\r\n9\r\n01",
        ] {
            let mut stream = connect(addr);
            let request = format!("POST /tbody HTTP/1.1\r\nHost: a\r\n{head}");
            stream.write_all(request.as_bytes()).unwrap();
            let answer = read_until(&mut stream, "\r\n\r\n");
            assert_eq!(statuses(&answer), ["504"], "{answer}");
        }
    });
}

#[test]
fn a_connection_without_a_request_is_closed_in_silence() {
    within(|| {
        let server = Server::builder()
            .head_timeout(SHORT)
            .idle_timeout(SHORT)
            .build();
        let addr = start(server, |_| "hello");
        assert_eq!(exchange(addr, b""), "");
        assert_eq!(exchange(addr, b"\r\n"), "");
        assert_eq!(statuses(&exchange(addr, b"GET /")), ["408"]);
        let one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(statuses(&exchange(addr, one)), ["200"]);
    });
}
