//! A server that is full.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Server};
use evy_runtime::sleep;
use evy_test_support::{rerun_ignored, within};

use super::{connect, deep, exchange, read_to_end, read_until, start, statuses};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The time that the handler takes for `/slow`.
const SLOW: Duration = Duration::from_millis(500);

fn handler(request: Request<Body>) -> &'static str {
    if request.uri().path() == "/slow" {
        sleep(SLOW);
    }
    "hello"
}

#[test]
fn a_full_server_closes_the_connection_that_has_been_idle_for_the_longest_time() {
    within(|| {
        let addr = start(Server::builder().max_connections(3).build(), handler);
        let mut idle: Vec<_> = (0..3)
            .map(|_| {
                let mut stream = connect(addr);
                stream.write_all(GET).unwrap();
                read_until(&mut stream, "hello");
                stream
            })
            .collect();
        // The first one is used again, so the second one is the oldest.
        idle[0].write_all(GET).unwrap();
        read_until(&mut idle[0], "hello");
        let half = connect_half(addr);
        assert_eq!(read_to_end(&mut idle[1]), "");
        for index in [0, 2] {
            idle[index].write_all(GET).unwrap();
            read_until(&mut idle[index], "hello");
        }
        drop(half);
    });
}

/// A client that has sent a part of a head.
fn connect_half(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr);
    stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    stream
}

#[test]
fn idle_connections_give_way_before_those_in_a_head_and_these_before_none() {
    within(|| {
        let addr = start(Server::builder().max_connections(3).build(), handler);
        let mut first_half = connect_half(addr);
        thread::sleep(Duration::from_millis(50));
        let mut second_half = connect_half(addr);
        let mut idle = connect(addr);
        idle.write_all(GET).unwrap();
        read_until(&mut idle, "hello");

        let start = Instant::now();
        let mut slow = connect(addr);
        slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!(read_to_end(&mut idle), "");
        let mut other = connect(addr);
        other
            .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!(read_to_end(&mut first_half), "");
        let mut third = connect(addr);
        third
            .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!(read_to_end(&mut second_half), "");

        // All three are in their handlers now, so the next one waits for the end of the first.
        let answer = exchange(addr, b"GET / HTTP/1.0\r\n\r\n");
        assert_eq!(statuses(&answer), ["200"]);
        assert!(start.elapsed() >= SLOW);
        for stream in [&mut slow, &mut other, &mut third] {
            // One of them became idle, and was closed then.
            assert!(read_until(stream, "hello").starts_with("HTTP/1.1 200 "));
        }
    });
}

#[test]
fn slow_clients_do_not_keep_others_from_an_answer() {
    within(|| {
        let addr = start(Server::builder().max_connections(50).build(), handler);
        let slow: Vec<_> = (0..500).map(|_| connect_half(addr)).collect();
        let mut worst = Duration::ZERO;
        for _ in 0..20 {
            let start = Instant::now();
            assert_eq!(
                statuses(&exchange(addr, b"GET / HTTP/1.0\r\n\r\n")),
                ["200"]
            );
            worst = worst.max(start.elapsed());
        }
        assert!(worst < Duration::from_secs(2), "{worst:?}");
        drop(slow);
    });
}

/// Slow heads, slow uploads and slow downloads, at the default limits.
#[test]
fn thousands_of_slow_clients_of_every_kind_do_not_delay_others() {
    const SLOW: usize = 5000;
    fn large(request: Request<Body>) -> std::io::Result<Body> {
        match request.uri().path() {
            "/large" => Ok(Body::from(vec![b'x'; 400_000])),
            _ => request.into_body().into_bytes().map(Into::into),
        }
    }
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    // Both ends of each connection are in this process.
    let room = limit.current.map_or(usize::MAX, |limit| limit as usize / 3);
    within(move || {
        let addr = start(Server::default(), large);
        let mut slow = Vec::new();
        let mut worst = Duration::ZERO;
        for number in 0..SLOW.min(room) {
            let mut stream = connect(addr);
            let begin: &[u8] = match number % 3 {
                0 => b"GET / HTTP/1.1\r\nHos",
                1 => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx",
                _ => b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
            };
            stream.write_all(begin).unwrap();
            slow.push(stream);
            if number % 100 == 0 {
                let start = Instant::now();
                assert_eq!(
                    statuses(&exchange(addr, b"GET / HTTP/1.0\r\n\r\n")),
                    ["200"]
                );
                worst = worst.max(start.elapsed());
            }
        }
        assert!(worst < Duration::from_secs(2), "{worst:?}");
        assert!(slow.len() >= SLOW.min(room));
    });
}

/// All connections are taken by slow uploads and downloads, which are never idle.
#[test]
fn slow_bodies_give_way_to_whole_requests_when_they_are_below_the_minimum_rate() {
    const CONNECTIONS: usize = 20;
    fn handler(request: Request<Body>) -> std::io::Result<Body> {
        match request.uri().path() {
            "/large" => Ok(Body::from(vec![b'x'; 16 << 20])),
            _ => request.into_body().into_bytes().map(Into::into),
        }
    }
    within(|| {
        let server = Server::builder()
            .max_connections(CONNECTIONS)
            .io_timeout(Duration::from_millis(500))
            .min_rate(1000)
            .build();
        let handle = server.handle();
        let addr = start(server, handler);
        let slow: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let is_upload = number % 2 == 0;
                let mut stream = connect(addr);
                let begin: &[u8] = if is_upload {
                    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
                } else {
                    b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
                };
                stream.write_all(begin).unwrap();
                // Never silent for as long as one timeout.
                thread::spawn(move || {
                    let end = Instant::now() + Duration::from_secs(10);
                    while Instant::now() < end {
                        thread::sleep(Duration::from_millis(50));
                        let moved = if is_upload {
                            stream.write(b"x")
                        } else {
                            stream.read(&mut [0])
                        };
                        if moved.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        while handle.requests() < CONNECTIONS as u64 {
            thread::sleep(Duration::from_millis(1));
        }
        let start = Instant::now();
        for _ in 0..CONNECTIONS {
            let answer = exchange(addr, b"GET / HTTP/1.0\r\n\r\n");
            assert_eq!(statuses(&answer), ["200"]);
        }
        assert!(start.elapsed() < Duration::from_secs(10));
        drop(slow);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_table_of_descriptors_has_room_before_the_connections_come() {
    let status = rerun_ignored("limits::makes_room_in_the_table_of_descriptors").status();
    assert!(status.unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs a process of its own"]
fn makes_room_in_the_table_of_descriptors() {
    let room = || -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
        line.unwrap().trim().parse().unwrap()
    };
    within(move || {
        let addr = start(Server::builder().max_connections(800).build(), handler);
        exchange(addr, b"GET / HTTP/1.0\r\n\r\n");
        assert!(room() >= 800);
    });
}

#[test]
fn handlers_have_stacks_of_the_size_that_the_builder_sets() {
    within(|| {
        let server = Server::builder().stack_size(2 << 20).build();
        let addr = start(server.clone(), deep);
        assert!(exchange(addr, b"GET / HTTP/1.0\r\n\r\n").ends_with("600"));

        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = exchange_on_os_thread(addr);
        let (stream, peer) = listener.accept().unwrap();
        server.serve_connection(stream, peer, deep).unwrap();
        assert!(client.join().unwrap().ends_with("600"));
    });
}

fn exchange_on_os_thread(addr: SocketAddr) -> thread::JoinHandle<String> {
    thread::spawn(move || exchange(addr, b"GET / HTTP/1.0\r\n\r\n"))
}
