//! Which connections are kept, used again and closed.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Client, Request, StatusCode};
use evy_runtime::{Queue, sleep};
use evy_test_support::within;

use super::{LONG, SHORT, get, ok, read_head, server};

#[test]
fn an_unsolicited_response_never_answers_the_next_request() {
    for unsolicited in [
        ok("EVIL"),
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
        "x".into(),
        "\r\n".into(),
    ] {
        for pause in [Duration::ZERO, SHORT] {
            let unsolicited = unsolicited.clone();
            within(move || {
                let (sent, all_sent) = mpsc::channel();
                let addr = server(move |number, mut stream| {
                    read_head(&mut stream);
                    stream
                        .write_all(ok(&number.to_string()).as_bytes())
                        .unwrap();
                    thread::sleep(Duration::from_millis(10));
                    stream.write_all(unsolicited.as_bytes()).ok();
                    sent.send(stream).unwrap();
                });
                let client = Client::new();
                assert_eq!(get(&client, addr).unwrap(), "0");
                let _stream = all_sent.recv().unwrap();
                // With a pause, the connection is watched.
                sleep(pause);
                let request = Request::post(format!("http://{addr}/")).body("x").unwrap();
                let response = client.request(request).unwrap();
                assert_eq!(response.into_body().into_text().unwrap(), "1");
            });
        }
    }
}

#[test]
fn a_connection_that_stays_silent_is_used_again_also_after_it_was_watched() {
    within(|| {
        let addr = server(|number, mut stream| {
            for request in 0.. {
                if read_head(&mut stream).is_none() {
                    break;
                }
                let answer = ok(&format!("{number} {request}"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let client = Client::new();
        for request in 0..4 {
            assert_eq!(get(&client, addr).unwrap(), format!("0 {request}"));
            sleep(SHORT * (request % 2));
        }
    });
}

#[test]
fn an_idle_connection_is_closed_when_the_server_closes_it_and_not_later() {
    within(|| {
        let (closed, is_closed) = mpsc::channel();
        let addr = server(move |_, mut stream| {
            read_head(&mut stream);
            stream.write_all(ok("a").as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // Only the client can end this.
            let rest = stream.read(&mut [0]);
            closed.send(rest.is_ok_and(|rest| rest == 0)).unwrap();
        });
        let client = Client::new();
        assert_eq!(get(&client, addr).unwrap(), "a");
        assert_eq!(poll(&is_closed), Some(true));
        drop(client);
    });
}

#[test]
fn an_idle_connection_is_closed_when_its_time_is_up() {
    for timeout in [Duration::from_millis(10), SHORT] {
        within(move || {
            let (closed, is_closed) = mpsc::channel();
            let addr = server(move |_, mut stream| {
                read_head(&mut stream);
                stream.write_all(ok("a").as_bytes()).unwrap();
                let rest = stream.read(&mut [0]);
                closed.send(rest.is_ok_and(|rest| rest == 0)).unwrap();
            });
            let client = Client::builder().idle_timeout(timeout).build();
            assert_eq!(get(&client, addr).unwrap(), "a");
            assert_eq!(poll(&is_closed), Some(true));
            drop(client);
        });
    }
}

#[test]
fn idle_connections_are_closed_with_their_client() {
    for pause in [Duration::ZERO, SHORT] {
        within(move || {
            let (closed, is_closed) = mpsc::channel();
            let addr = server(move |_, mut stream| {
                read_head(&mut stream);
                stream.write_all(ok("a").as_bytes()).unwrap();
                closed.send(stream.read(&mut [0]).unwrap()).unwrap();
            });
            let client = Client::new();
            assert_eq!(get(&client, addr).unwrap(), "a");
            sleep(pause);
            drop(client);
            assert_eq!(is_closed.recv_timeout(LONG), Ok(0));
        });
    }
}

/// Waits for a message while the green threads of this OS thread run.
fn poll<T>(receiver: &mpsc::Receiver<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < LONG {
        if let Ok(message) = receiver.try_recv() {
            return Some(message);
        }
        sleep(Duration::from_millis(5));
    }
    None
}

#[test]
fn idle_connections_do_not_hide_a_deadlock() {
    for pause in [Duration::ZERO, SHORT] {
        within(move || {
            let addr = server(|_, mut stream| {
                while read_head(&mut stream).is_some() {
                    stream.write_all(ok("a").as_bytes()).unwrap();
                }
            });
            let client = Client::builder().idle_timeout(Duration::MAX).build();
            assert_eq!(get(&client, addr).unwrap(), "a");
            sleep(pause);
            let start = Instant::now();
            let waiting = catch_unwind(AssertUnwindSafe(|| Queue::<()>::unbounded().get()));
            let report = waiting.unwrap_err().downcast::<String>().unwrap();
            assert!(report.contains("deadlock"), "{report}");
            assert!(start.elapsed() < LONG);
            // The connection is still there.
            assert_eq!(get(&client, addr).unwrap(), "a");
        });
    }
}

#[test]
fn an_idle_connection_costs_no_time_of_the_processor() {
    within(|| {
        let addr = server(|_, mut stream| {
            while read_head(&mut stream).is_some() {
                stream.write_all(ok("a").as_bytes()).unwrap();
            }
        });
        let client = Client::new();
        assert_eq!(get(&client, addr).unwrap(), "a");
        sleep(SHORT);
        let before = turns();
        sleep(SHORT * 3);
        assert!(
            turns() - before < 10,
            "{} context switches",
            turns() - before
        );
        drop(client);
    });
}

/// Returns how often this OS thread has waited.
fn turns() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("voluntary"));
    line.unwrap()
        .split_whitespace()
        .last()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn a_request_is_repeated_only_if_the_connection_was_closed_before_any_byte_of_the_answer() {
    // Whether the request is repeated, for what the server sends before it closes the connection.
    for (method, answer, is_repeated) in [
        ("GET", "", true),
        ("PUT", "", true),
        ("POST", "", false),
        ("GET", "H", false),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\n", false),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n", false),
    ] {
        within(move || {
            let (heads, seen) = mpsc::channel();
            let addr = server(move |number, mut stream| {
                for request in 0..2 {
                    let Some(head) = read_head(&mut stream) else {
                        break;
                    };
                    heads.send(head).unwrap();
                    let is_last = number == 0 && request == 1;
                    let bytes = if is_last { answer.to_owned() } else { ok("a") };
                    stream.write_all(bytes.as_bytes()).unwrap();
                }
            });
            let client = Client::new();
            assert_eq!(get(&client, addr).unwrap(), "a");
            let request = Request::builder().method(method);
            let request = request.uri(format!("http://{addr}/")).body(()).unwrap();
            let response = client.request(request);
            assert_eq!(response.is_ok(), is_repeated, "{method} {answer:?}");
            drop(response);
            assert_eq!(seen.try_iter().count(), 2 + usize::from(is_repeated));
        });
    }
}

#[test]
fn a_new_connection_that_is_closed_without_an_answer_is_an_error() {
    within(|| {
        let (heads, seen) = mpsc::channel();
        let addr = server(move |_, mut stream| heads.send(read_head(&mut stream)).unwrap());
        let error = get(&Client::new(), addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(seen.try_iter().count(), 1);
    });
}

#[test]
fn only_so_many_idle_connections_to_a_host_are_kept() {
    within(|| {
        let (opened, connections) = mpsc::channel();
        let addr = server(move |number, mut stream| {
            opened.send(number).unwrap();
            thread::spawn(move || {
                while read_head(&mut stream).is_some() {
                    stream.write_all(ok("a").as_bytes()).unwrap();
                }
            });
        });
        let client = Client::builder().max_idle_per_host(2).build();
        for _ in 0..2 {
            let url = format!("http://{addr}/");
            let responses: Vec<_> = (0..4).map(|_| client.get(&url).unwrap()).collect();
            for response in responses {
                assert_eq!(response.status(), StatusCode::OK);
                response.into_body().into_text().unwrap();
            }
        }
        assert_eq!(connections.try_iter().count(), 6);
    });
}

#[test]
fn a_client_can_be_dropped_while_its_response_is_read() {
    within(|| {
        let addr = server(|_, mut stream| {
            read_head(&mut stream);
            stream.write_all(ok("hello").as_bytes()).unwrap();
        });
        let response = Client::new().get(&format!("http://{addr}/")).unwrap();
        assert_eq!(response.into_body().into_text().unwrap(), "hello");
    });
}
