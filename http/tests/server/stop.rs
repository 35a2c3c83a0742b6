//! Stopping a server in order.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Server, ServerHandle};
use evy_runtime::sleep;
use evy_test_support::within;

use super::{connect, exchange, read_to_end, read_until, statuses};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LARGE: usize = 1 << 20;
const LONG: Duration = Duration::from_secs(30);

struct Running {
    addr: SocketAddr,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
}

/// Runs a server on an OS thread of its own.
fn run() -> Running {
    fn handler(request: Request<Body>) -> std::io::Result<Body> {
        match request.uri().path() {
            "/block-later" => {
                sleep(Duration::from_millis(50));
                thread::sleep(Duration::from_millis(300));
            }
            "/work" => sleep(Duration::from_millis(5)),
            "/large" => return Ok((" ".repeat(LARGE - 5) + "hello").into()),
            "/slow" => sleep(Duration::from_millis(300)),
            "/block" => thread::sleep(Duration::from_millis(400)),
            "/forever" => sleep(Duration::from_secs(3600)),
            "/x" => {}
            "/stubborn" => evy_runtime::shield(|| sleep(Duration::from_secs(2))),
            _ => drop(request.into_body().into_bytes()?),
        }
        Ok("hello".into())
    }
    let server = Server::default();
    let handle = server.handle();
    let (started, addr) = mpsc::channel();
    let serving = thread::spawn(move || {
        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        started.send(listener.local_addr().unwrap()).unwrap();
        server.serve(listener, handler)
    });
    let addr = addr.recv().unwrap();
    Running {
        addr,
        handle,
        serving,
    }
}

/// A client that waits for the answer to a request.
fn ask(addr: SocketAddr, path: &str) -> TcpStream {
    let mut stream = connect(addr);
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        .unwrap();
    thread::sleep(Duration::from_millis(100));
    stream
}

#[test]
fn idle_connections_are_closed_at_once_when_a_server_stops() {
    within(|| {
        let running = run();
        let mut idle = connect(running.addr);
        idle.write_all(GET).unwrap();
        read_until(&mut idle, "hello");
        assert_eq!(
            (running.handle.connections(), running.handle.requests()),
            (1, 1)
        );
        let mut silent = connect(running.addr);
        while running.handle.connections() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        let start = Instant::now();
        assert_eq!(running.handle.stop(LONG), 0);
        running.serving.join().unwrap().unwrap();
        assert!(start.elapsed() < Duration::from_secs(3));
        assert_eq!(read_to_end(&mut idle), "");
        assert_eq!(read_to_end(&mut silent), "");
        assert_eq!(
            (running.handle.connections(), running.handle.requests()),
            (0, 1)
        );
        let refused = TcpStream::connect(running.addr);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_request_in_progress_is_answered_and_the_close_is_announced() {
    within(|| {
        let running = run();
        let mut slow = ask(running.addr, "/slow");
        assert_eq!(running.handle.stop(LONG), 0);
        let answer = read_to_end(&mut slow);
        assert!(
            answer.contains("connection: close\r\n") && answer.ends_with("hello"),
            "{answer}"
        );
        running.serving.join().unwrap().unwrap();
    });
}

#[test]
fn handlers_that_take_too_long_are_killed_when_the_grace_is_over() {
    within(|| {
        let running = run();
        let mut forever = ask(running.addr, "/forever");
        let start = Instant::now();
        assert_eq!(running.handle.stop(Duration::from_millis(200)), 0);
        assert!(start.elapsed() < Duration::from_secs(5));
        running.serving.join().unwrap().unwrap();
        assert_eq!(forever.read(&mut [0; 100]).unwrap_or(0), 0);
    });
}

#[test]
fn a_second_stop_can_shorten_the_grace_of_the_first_one() {
    within(|| {
        let running = run();
        let mut forever = ask(running.addr, "/forever");
        let handle = running.handle.clone();
        let first = thread::spawn(move || handle.stop(LONG));
        while TcpStream::connect(running.addr).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        let start = Instant::now();
        assert_eq!(running.handle.stop(Duration::from_millis(100)), 0);
        assert_eq!(running.handle.stop(LONG), 0);
        assert_eq!(first.join().unwrap(), 0);
        running.serving.join().unwrap().unwrap();
        assert!(start.elapsed() < LONG / 3);
        assert_eq!(forever.read(&mut [0; 100]).unwrap_or(0), 0);
    });
}

#[test]
fn the_number_of_connections_that_cannot_be_ended_is_returned() {
    within(|| {
        let running = run();
        let _stubborn = ask(running.addr, "/stubborn");
        assert_eq!(running.handle.stop(Duration::from_millis(100)), 1);
        assert_eq!(running.handle.connections(), 1);
        running.serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_request_that_arrives_while_the_os_thread_is_held_up_by_another_one_is_answered() {
    within(|| {
        let running = run();
        let mut idle = connect(running.addr);
        idle.write_all(GET).unwrap();
        read_until(&mut idle, "hello");
        let mut blocking = connect(running.addr);
        blocking
            .write_all(b"GET /block-later HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        while running.handle.requests() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        idle.write_all(GET).unwrap();
        read_until(&mut idle, "hello");
        let handle = running.handle.clone();
        let stopping = thread::spawn(move || handle.stop(LONG));
        // When the OS thread is free again, the connection has been idle for too long, and has a
        // request.
        thread::sleep(Duration::from_millis(80));
        idle.write_all(GET).unwrap();
        assert!(read_to_end(&mut idle).contains("connection: close\r\n"));
        assert!(read_to_end(&mut blocking).ends_with("hello"));
        assert_eq!(stopping.join().unwrap(), 0);
        running.serving.join().unwrap().unwrap();
    });
}

/// Sends requests of one kind, one after another, until the server closes the connection. Returns
/// the number of answers, each of which was checked.
fn ask_until_closed(addr: SocketAddr, kind: usize) -> u64 {
    let (request, length) = match kind {
        0 => (GET.to_vec(), 5),
        1 => (b"GET /work HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 5),
        2 => (b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), LARGE),
        _ => {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
            ([head.as_bytes(), &b"x".repeat(100_000)].concat(), 5)
        }
    };
    let mut stream = std::io::BufReader::new(connect(addr));
    for answers in 0.. {
        let idle_since = Instant::now();
        let sent = stream.get_mut().write_all(&request);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => head.push(char::from(byte[0])),
                // A client that this machine has held up may come too late.
                _ if head.is_empty() && idle_since.elapsed() > Duration::from_millis(50) => {
                    return answers;
                }
                other => panic!("after {head:?}: {other:?}"),
            }
        }
        sent.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        assert!(body.ends_with(b"hello"));
        if head.contains("connection: close") {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            return answers + 1;
        }
    }
    0
}

#[test]
fn a_stop_under_load_loses_no_request() {
    within(|| {
        let running = run();
        let addr = running.addr;
        let clients: Vec<_> = (0..32)
            .map(|number| thread::spawn(move || ask_until_closed(addr, number % 4)))
            .collect();
        while running.handle.requests() < 500 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(running.handle.stop(LONG), 0);
        running.serving.join().unwrap().unwrap();
        let answers: u64 = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum();
        assert_eq!(answers, running.handle.requests());
    });
}

#[test]
fn connections_that_are_queued_when_a_server_stops_are_served() {
    within(|| {
        let running = run();
        let mut blocking = ask(running.addr, "/block");
        let mut queued: Vec<_> = (0..20).map(|_| connect(running.addr)).collect();
        for client in &mut queued {
            client.write_all(GET).unwrap();
        }
        assert_eq!(running.handle.stop(LONG), 0);
        for client in queued.iter_mut().chain([&mut blocking]) {
            assert!(read_to_end(client).ends_with("hello"));
        }
        running.serving.join().unwrap().unwrap();
    });
}

#[test]
fn requests_that_keep_arriving_do_not_extend_the_grace() {
    within(|| {
        let running = run();
        let mut clients: Vec<_> = (0..400).map(|_| connect(running.addr)).collect();
        while running.handle.connections() < clients.len() {
            thread::sleep(Duration::from_millis(1));
        }
        let handle = running.handle.clone();
        let stopping = thread::spawn(move || handle.stop(Duration::from_millis(20)));
        for client in &mut clients {
            // After the grace, the connection may be gone.
            client
                .write_all(b"GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
                .ok();
            thread::sleep(Duration::from_micros(500));
        }
        assert_eq!(stopping.join().unwrap(), 0);
        running.serving.join().unwrap().unwrap();
    });
}

/// Sends a large request to a server that stops meanwhile, in pieces with pauses in between. Returns
/// the answer, which it reads at the end.
fn upload_slowly(begin: &[u8], grace: Duration) -> std::io::Result<String> {
    let running = run();
    let mut stream = connect(running.addr);
    stream.write_all(begin)?;
    thread::sleep(Duration::from_millis(100));
    let handle = running.handle.clone();
    let stopping = thread::spawn(move || handle.stop(grace));
    let sent = (0..5).try_for_each(|_| {
        thread::sleep(Duration::from_millis(250));
        stream.write_all(&vec![b'x'; 50_000])
    });
    let mut answer = String::new();
    let read = sent.and_then(|()| stream.read_to_string(&mut answer));
    drop(stream);
    assert_eq!(stopping.join().unwrap(), 0);
    running.serving.join().unwrap().unwrap();
    read.map(|_| answer)
}

#[test]
fn a_client_that_is_still_uploading_when_a_server_stops_gets_its_refusal() {
    within(|| {
        let beginnings = [
            (
                "413",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n",
            ),
            (
                "200",
                "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n",
            ),
            (
                "417",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: x\r\n\r\n",
            ),
            ("400", "POST / HTTP/1.1\r\n\r\n"),
            // What follows the request is not a part of it.
            (
                "200",
                "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nmore",
            ),
        ];
        for (status, begin) in beginnings {
            let answer = upload_slowly(begin.as_bytes(), LONG);
            let answer = answer.unwrap_or_else(|error| panic!("{begin:?}: {error}"));
            assert_eq!(statuses(&answer), [status], "{answer}");
        }
    });
}

#[test]
fn a_client_that_is_still_uploading_is_cut_off_when_the_grace_is_over() {
    within(|| {
        let begin = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n";
        assert!(upload_slowly(begin, Duration::from_millis(300)).is_err());
    });
}

#[test]
fn a_client_that_keeps_its_connection_open_after_the_last_answer_does_not_hold_up_a_stop() {
    within(|| {
        let running = run();
        let mut client = connect(running.addr);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        read_until(&mut client, "hello");
        let start = Instant::now();
        assert_eq!(running.handle.stop(LONG), 0);
        assert!(start.elapsed() < Duration::from_secs(1));
        running.serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_server_that_was_stopped_before_it_serves_returns_at_once() {
    within(|| {
        let server = Server::default();
        assert_eq!(server.handle().stop(LONG), 0);
        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        server.serve(listener, |_| "hello").unwrap();
    });
}

#[test]
fn one_handle_stops_all_clones_of_a_server() {
    within(|| {
        let server = Server::default();
        let handle = server.handle();
        let (started, addrs) = mpsc::channel();
        let serving: Vec<_> = (0..3)
            .map(|_| {
                let (server, started) = (server.clone(), started.clone());
                thread::spawn(move || {
                    let listener = evy_net::listen("127.0.0.1:0").unwrap();
                    started.send(listener.local_addr().unwrap()).unwrap();
                    server.serve(listener, |_| "hello")
                })
            })
            .collect();
        for addr in addrs.iter().take(3) {
            assert_eq!(
                statuses(&exchange(addr, b"GET / HTTP/1.0\r\n\r\n")),
                ["200"]
            );
        }
        assert_eq!(handle.requests(), 3);
        assert_eq!(handle.stop(LONG), 0);
        for serving in serving {
            serving.join().unwrap().unwrap();
        }
        assert_eq!(handle.requests(), 3);
    });
}

#[test]
fn a_server_and_its_handle_may_be_sent_to_other_os_threads() {
    fn sendable<T: Clone + Send + Sync + 'static>() {}
    sendable::<Server>();
    sendable::<ServerHandle>();
}
