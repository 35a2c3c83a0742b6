//! A server on several workers.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Server, serve_on};
use evy_net::{Workers, WorkersHandle};
use evy_runtime::sleep;
use evy_test_support::within;

use super::{connect, deep, exchange, read_to_end, read_until, statuses};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LONG: Duration = Duration::from_secs(30);

fn start(threads: usize) -> Workers {
    Workers::builder().threads(threads).start(|_| ()).unwrap()
}

fn handler(request: Request<Body>) -> &'static str {
    match request.uri().path() {
        "/slow" => sleep(Duration::from_millis(300)),
        "/slower" => sleep(Duration::from_secs(3)),
        "/forever" => sleep(LONG * 100),
        "/block" => thread::sleep(Duration::from_secs(3)),
        _ => {}
    }
    "hello"
}

fn ask(addr: SocketAddr, path: &str) -> TcpStream {
    let mut stream = connect(addr);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream
}

fn stops_cleanly(handle: &WorkersHandle) {
    let stopped = handle.stop(LONG);
    assert_eq!(
        (stopped.left, stopped.unaccepted, stopped.blocked_workers),
        (0, 0, 0)
    );
}

#[test]
fn all_workers_answer_requests_and_one_handle_counts_them() {
    within(|| {
        let workers = start(2);
        let server = Server::default();
        let handle = server.handle();
        let addr = server.serve_on(&workers, "127.0.0.1:0", || {
            let count = Rc::new(Cell::new(0));
            move |_request| {
                count.set(count.get() + 1);
                thread::current().name().unwrap_or_default().to_owned()
            }
        });
        let addr = addr.unwrap();
        let (mut requests, mut seen) = (0, [false; 2]);
        while seen != [true; 2] {
            let answer = exchange(addr, b"GET / HTTP/1.0\r\n\r\n");
            assert_eq!(statuses(&answer), ["200"]);
            let index = ["evy-worker-0", "evy-worker-1"].map(|name| answer.ends_with(name));
            seen = [seen[0] | index[0], seen[1] | index[1]];
            requests += 1;
        }
        assert_eq!(handle.requests(), requests);
        stops_cleanly(&workers.handle());
        assert_eq!(
            TcpStream::connect(addr).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        assert_eq!((handle.connections(), handle.requests()), (0, requests));
    });
}

#[test]
fn a_stop_closes_idle_connections_and_announces_the_close_on_others() {
    within(|| {
        let workers = start(2);
        let addr = serve_on(&workers, "127.0.0.1:0", || handler).unwrap();
        let mut idle = connect(addr);
        idle.write_all(GET).unwrap();
        read_until(&mut idle, "hello");
        let mut slow = ask(addr, "/slow");
        thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        stops_cleanly(&workers.handle());
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(read_to_end(&mut idle), "");
        let answer = read_to_end(&mut slow);
        assert!(
            answer.contains("connection: close\r\n") && answer.ends_with("hello"),
            "{answer}"
        );
    });
}

#[test]
fn a_stop_of_workers_under_load_loses_no_request() {
    within(|| {
        let workers = start(2);
        let addr = serve_on(&workers, "127.0.0.1:0", || handler).unwrap();
        let kept: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    let mut stream = connect(addr);
                    for count in 0.. {
                        stream.write_all(GET).unwrap();
                        if read_until(&mut stream, "hello").contains("connection: close") {
                            return count;
                        }
                    }
                    0
                })
            })
            .collect();
        let new: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    let mut count = 0;
                    while let Ok(mut stream) = TcpStream::connect(addr) {
                        stream.set_read_timeout(Some(LONG)).unwrap();
                        stream.write_all(GET).unwrap();
                        read_until(&mut stream, "hello");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        stops_cleanly(&workers.handle());
        for client in kept.into_iter().chain(new) {
            assert!(client.join().unwrap() > 0);
        }
    });
}

#[test]
fn requests_that_take_too_long_are_killed_when_the_grace_is_over() {
    within(|| {
        let workers = start(2);
        let addr = serve_on(&workers, "127.0.0.1:0", || handler).unwrap();
        let mut forever = ask(addr, "/forever");
        thread::sleep(Duration::from_millis(100));
        let stopped = workers.handle().stop(Duration::from_millis(200));
        assert_eq!((stopped.left, stopped.blocked_workers), (0, 0));
        assert_eq!(forever.read(&mut [0; 100]).unwrap_or(0), 0);
    });
}

#[test]
fn a_request_that_blocks_its_worker_is_counted_as_left() {
    within(|| {
        let workers = start(1);
        let addr = serve_on(&workers, "127.0.0.1:0", || handler).unwrap();
        let mut blocking = ask(addr, "/block");
        thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        let stopped = workers.handle().stop(Duration::from_millis(200));
        assert!(start.elapsed() < Duration::from_secs(2));
        assert_eq!((stopped.left, stopped.blocked_workers), (1, 1));
        // It was killed only when its OS thread came back to evy.
        assert!(!read_to_end_or_reset(&mut blocking).is_empty());
    });
}

fn read_to_end_or_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok();
    bytes
}

#[test]
fn a_server_on_workers_can_be_stopped_alone() {
    within(|| {
        let workers = start(2);
        let (one, other) = (Server::default(), Server::default());
        let addrs = [&one, &other].map(|server| {
            let server = server.serve_on(&workers, "127.0.0.1:0", || handler);
            server.unwrap()
        });
        let mut slow = ask(addrs[0], "/slow");
        thread::sleep(Duration::from_millis(100));
        assert_eq!(one.handle().stop(LONG), 0);
        assert!(read_to_end(&mut slow).ends_with("hello"));
        while TcpStream::connect(addrs[0]).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(
            statuses(&exchange(addrs[1], b"GET / HTTP/1.0\r\n\r\n")),
            ["200"]
        );
        stops_cleanly(&workers.handle());
    });
}

#[test]
fn a_worker_that_is_replaced_answers_the_requests_in_progress() {
    within(|| {
        let (fail, failing) = mpsc::channel();
        let failing = std::sync::Mutex::new(failing);
        let setups = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&setups);
        let workers = Workers::builder().threads(1).start(move |_| {
            if counter.fetch_add(1, Ordering::Relaxed) == 0 {
                while failing.lock().unwrap().try_recv().is_err() {
                    sleep(Duration::from_millis(1));
                }
                panic!("a test");
            }
        });
        let workers = workers.unwrap();
        let addr = serve_on(&workers, "127.0.0.1:0", || handler).unwrap();
        // Longer than it takes to print a backtrace.
        let mut slow = ask(addr, "/slower");
        thread::sleep(Duration::from_millis(300));
        fail.send(()).unwrap();
        let answer = read_to_end(&mut slow);
        assert!(
            answer.contains("connection: close\r\n") && answer.ends_with("hello"),
            "{answer}"
        );
        assert_eq!(
            statuses(&exchange(addr, b"GET / HTTP/1.0\r\n\r\n")),
            ["200"]
        );
        assert_eq!(setups.load(Ordering::Relaxed), 2);
        stops_cleanly(&workers.handle());
    });
}

/// Computes for a time in proportion to `iterations`.
fn compute(iterations: u64) -> u64 {
    (0..iterations).fold(1, |hash, n| {
        std::hint::black_box(hash ^ n).wrapping_mul(0x100_0001)
    })
}

/// Returns how many requests `threads` workers answer within a time.
fn throughput(threads: usize, iterations: u64) -> usize {
    let workers = start(threads);
    let make = move || move |_request| compute(iterations).to_string();
    let addr = serve_on(&workers, "127.0.0.1:0", make).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || {
                let mut count = 0;
                let mut stream = connect(addr);
                while !is_over.load(Ordering::Relaxed) {
                    stream.write_all(GET).unwrap();
                    let mut answer = [0; 1024];
                    assert!(stream.read(&mut answer).unwrap() > 0);
                    count += 1;
                }
                count
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    is_over.store(true, Ordering::Relaxed);
    let count = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .sum();
    stops_cleanly(&workers.handle());
    count
}

#[test]
#[ignore = "it needs two idle CPUs: cargo test --release -- --ignored two_workers"]
fn two_workers_serve_1_6_times_as_much_as_one_with_a_handler_that_computes() {
    within(|| {
        let times = (0..50).map(|_| {
            let start = Instant::now();
            std::hint::black_box(compute(100_000));
            start.elapsed().as_nanos().max(1)
        });
        // The fastest one was not interrupted.
        let iterations = 100_000 * 500_000 / times.min().unwrap() as u64;
        let rounds = (0..5).map(|_| (throughput(1, iterations), throughput(2, iterations)));
        let (one, two) = rounds.fold((0, 0), |sum, round| (sum.0 + round.0, sum.1 + round.1));
        let ratio = two as f64 / one as f64;
        println!("one worker: {one}, two workers: {two}, ratio {ratio:.2}");
        assert!(ratio >= 1.6, "{ratio}");
    });
}

#[test]
fn handlers_have_stacks_of_the_size_that_the_workers_or_the_server_set() {
    within(|| {
        let builder = Workers::builder().threads(1).stack_size(2 << 20);
        let workers = builder.start(|_| ()).unwrap();
        let addr = serve_on(&workers, "127.0.0.1:0", || deep).unwrap();
        assert!(exchange(addr, b"GET / HTTP/1.0\r\n\r\n").ends_with("600"));
        stops_cleanly(&workers.handle());

        let builder = Workers::builder().threads(1).stack_size(1 << 15);
        let workers = builder.start(|_| ()).unwrap();
        let server = Server::builder().stack_size(2 << 20);
        let addr = server.serve_on(&workers, "127.0.0.1:0", || deep).unwrap();
        assert!(exchange(addr, b"GET / HTTP/1.0\r\n\r\n").ends_with("600"));
        stops_cleanly(&workers.handle());
    });
}

#[test]
fn an_address_is_free_again_when_serving_there_has_failed() {
    within(|| {
        let workers = start(4);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let made = AtomicUsize::new(0);
        let failed = serve_on(&workers, addr, move || {
            let count = made.fetch_add(1, Ordering::Relaxed);
            assert!(count < 3, "the last worker cannot serve");
            handler
        });
        assert!(failed.is_err());
        serve_on(&workers, addr, || handler).unwrap();
        workers.handle().stop(LONG);
    });
}
