//! What runs after each response, what it is given, and the places that connections come from.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evy::GreenPool;
use evy_http::{AccessLog, Body, Peer, Request, Server};
use evy_net::unix::UnixListener;
use evy_runtime::{spawn, unblock};
use evy_test_support::within;

use super::{connect, exchange, read_to_end, start, statuses};

#[test]
fn the_callback_of_the_access_log_runs_after_each_response_in_order_and_also_if_it_is_aborted() {
    static EVENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn note(event: &str) {
        EVENTS.lock().unwrap().push(event.to_owned());
    }
    fn handler(request: Request<Body>) -> Body {
        let path = request.uri().path().to_owned();
        note(&format!("handler {path}"));
        Body::from_writer(move |client| {
            client.write_all(b"begun")?;
            client.flush()?;
            if path == "/abort" {
                while client.write_all(&[b'x'; 10_000]).is_ok() {}
                note("the client is gone");
            }
            note(&format!("end {path}"));
            Ok(())
        })
    }
    within(|| {
        let log = AccessLog::custom(|record| {
            let path = record.line().split(' ').nth(1).unwrap().to_owned();
            note(&format!("log {path}"));
        });
        let addr = start(Server::builder().access_log(log).build(), handler);
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut leaving = connect(addr);
        let requests = get("/1") + &get("/2") + &get("/abort");
        leaving.write_all(requests.as_bytes()).unwrap();
        leaving.read_exact(&mut [0; 1000]).unwrap();
        drop(leaving);
        while EVENTS.lock().unwrap().len() < 10 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let expected = [
            "handler /1",
            "end /1",
            "log /1",
            "handler /2",
            "end /2",
            "log /2",
            "handler /abort",
            "the client is gone",
            "end /abort",
            "log /abort",
        ];
        assert_eq!(*EVENTS.lock().unwrap(), expected);
    });
}

#[test]
fn the_address_that_a_proxy_forwards_is_believed_only_if_the_proxy_is_trusted() {
    fn forwarded(trust: Option<bool>) -> Option<String> {
        let found = Arc::<Mutex<Vec<Option<String>>>>::default();
        let records = Arc::clone(&found);
        let log = AccessLog::custom(move |record| {
            let forwarded = record.forwarded_for().map(str::to_owned);
            records.lock().unwrap().push(forwarded);
        });
        let server = Server::builder().access_log(log);
        let server = match trust {
            Some(trust) => server.trust_proxies(move |_| trust),
            None => server,
        };
        let addr = start(server.build(), |_| "hello");
        let request = b"GET / HTTP/1.0\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n\r\n";
        exchange(addr, request);
        loop {
            if let Some(record) = found.lock().unwrap().pop() {
                return record;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    within(|| {
        assert_eq!(forwarded(None), None);
        assert_eq!(forwarded(Some(false)), None);
        // The client may have made up the one before.
        assert_eq!(forwarded(Some(true)).as_deref(), Some("2.2.2.2"));
    });
}

#[test]
fn a_server_listens_on_ipv6_and_logs_its_peers() {
    static PEERS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let Ok(listener) = evy_net::listen("[::1]:0") else {
            // This machine has no IPv6.
            return;
        };
        let addr = listener.local_addr().unwrap();
        let log = AccessLog::custom(|record| {
            let peer = record.peer().addr().unwrap();
            PEERS.lock().unwrap().push(peer.ip().to_string());
        });
        let server = Server::builder().access_log(log).build();
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(listener, |request| {
                let peer = request.extensions().get::<Peer>().unwrap();
                peer.addr().unwrap().ip().to_string()
            })
        });
        let answer = unblock(move || exchange(addr, b"GET / HTTP/1.0\r\n\r\n"));
        assert!(answer.ends_with("\r\n\r\n::1"), "{answer}");
        handle.stop(Duration::from_secs(30));
        serving.join().unwrap().unwrap();
        assert_eq!(*PEERS.lock().unwrap(), ["::1"]);
    });
}

#[test]
fn a_server_listens_on_a_unix_socket_and_logs_its_peers() {
    static PEERS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let name = format!("evy-http-{}.socket", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let log = AccessLog::custom(|record| {
            let peer = record.peer();
            assert!(peer.addr().is_none());
            PEERS.lock().unwrap().push(format!("{peer:?}"));
        });
        let server = Server::builder().access_log(log).build();
        let handle = server.handle();
        let serving = spawn(move || server.serve(listener, |_| "hello"));
        let client = path.clone();
        let answer = unblock(move || {
            let mut stream = UnixStream::connect(client).unwrap();
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        handle.stop(Duration::from_secs(30));
        serving.join().unwrap().unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(PEERS.lock().unwrap()[0].contains("(unnamed)"));
    });
}

#[test]
fn connections_can_be_served_in_a_pool_of_the_program() {
    within(|| {
        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Server::default();
        let pool = GreenPool::new(2);
        let accepting = spawn({
            let pool = pool.clone();
            move || {
                loop {
                    let (stream, addr) = listener.accept().unwrap();
                    let server = server.clone();
                    pool.spawn_n(move || {
                        server.serve_connection(stream, addr, |_| "hello").ok();
                    });
                }
            }
        });
        let (mut first, mut second) = unblock(move || {
            let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let ask = || {
                let mut stream = connect(addr);
                stream.write_all(get).unwrap();
                super::read_until(&mut stream, "hello");
                stream
            };
            (ask(), ask())
        });
        assert_eq!((pool.running(), pool.free()), (2, 0));
        // A third one waits for room in the pool.
        let third = spawn(move || unblock(move || exchange(addr, b"GET / HTTP/1.0\r\n\r\n")));
        evy_runtime::sleep(Duration::from_millis(50));
        assert!(!third.is_finished());
        unblock(move || {
            let last = b"GET / HTTP/1.0\r\n\r\n";
            first.write_all(last).unwrap();
            assert_eq!(statuses(&read_to_end(&mut first)), ["200"]);
            second.write_all(last).unwrap();
            assert_eq!(statuses(&read_to_end(&mut second)), ["200"]);
        });
        assert_eq!(statuses(&third.join().unwrap()), ["200"]);
        accepting.kill();
        pool.wait_all();
    });
}
