//! The HTTP server over a TLS listener.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evy::http::{Peer, Request, Server};
use evy_net::{Shutdown, Stream, TcpStream, Workers, connect, listen};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{sleep, spawn};
use evy_test_support::stream::tcp_pair;
use evy_test_support::within;
use evy_tls::{Listener, Session};

use crate::support::{SHORT, acceptor, connect_to, connector};

/// Sends a request that ends the connection, and returns the response.
fn get(stream: &mut impl Stream) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_http_server_over_tls_shows_the_session_to_its_handlers() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Server::builder().build();
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(
                Listener::new(listener, acceptor()),
                |request: Request<_>| {
                    let peer = request.extensions().get::<Peer>().unwrap();
                    let session = peer.info::<Session>().unwrap();
                    format!("{:?}", session.protocol_version().unwrap())
                },
            )
        });
        // A client that stays silent, and one that does not know of TLS, affect only themselves.
        let silent = connect(addr).unwrap();
        let plain = get(&mut connect(addr).unwrap());
        assert!(plain.starts_with("HTTP/1.0 400 "), "{plain}");
        let answer = get(&mut connect_to(addr).unwrap());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("TLSv1_3"), "{answer}");
        drop(silent);
        sleep(Duration::from_millis(10));
        assert_eq!(handle.stop(Duration::from_secs(10)), 0);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_close_notify_in_the_middle_of_a_request_is_not_reported() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let reports = Arc::<Mutex<Vec<String>>>::default();
        let reported = Arc::clone(&reports);
        let server = Server::builder()
            .on_error(move |error| reported.lock().unwrap().push(error.to_string()))
            .build();
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(Listener::new(listener, acceptor()), |request| {
                Request::into_body(request).into_text()
            })
        });
        let body = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";
        for (half, status) in [("GET / HT", ""), ("", ""), (body, "HTTP/1.1 400 ")] {
            let mut stream = connect_to(addr).unwrap();
            stream.write_all(half.as_bytes()).unwrap();
            stream.close_write().unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(status), "{half:?}: {answer}");
            assert_eq!(answer.is_empty(), status.is_empty(), "{half:?}: {answer}");
            // Without it, too.
            let mut stream = connect_to(addr).unwrap();
            stream.write_all(half.as_bytes()).unwrap();
            stream.reset();
        }
        let answer = get(&mut connect_to(addr).unwrap());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(handle.stop(Duration::from_secs(10)), 0);
        serving.join().unwrap().unwrap();
        assert_eq!(*reports.lock().unwrap(), [""; 0]);
    });
}

/// Whatever ends the connection, a handler does not take a part of a body for all of it.
#[test]
fn a_request_body_that_is_cut_is_never_complete() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let outcomes = Arc::<Mutex<Vec<Result<String, ErrorKind>>>>::default();
        let seen = Arc::clone(&outcomes);
        spawn(move || {
            Server::default().serve(Listener::new(listener, acceptor()), move |request| {
                let text = Request::into_body(request).into_text();
                let outcome = text.map_err(|error: io::Error| error.kind());
                seen.lock().unwrap().push(outcome);
            })
        });
        let head = "POST / HTTP/1.1\r\nhost: a\r\n";
        for framing in [
            "content-length: 6\r\n\r\n",
            "content-length: 6\r\n\r\nhello",
            "transfer-encoding: chunked\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nhel",
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ] {
            for is_announced in [true, false] {
                let mut stream = connect_to(addr).unwrap();
                stream
                    .write_all([head, framing].concat().as_bytes())
                    .unwrap();
                if is_announced {
                    stream.close_write().unwrap();
                }
                stream.get_ref().shutdown(Shutdown::Write).unwrap();
                stream.read_to_end(&mut Vec::new()).ok();
                let outcome = outcomes.lock().unwrap().pop();
                let expected = Some(Err(ErrorKind::UnexpectedEof));
                assert_eq!(outcome, expected, "{framing:?}, {is_announced}");
            }
        }
    });
}

/// Its data are encrypted, and cannot be sent: the connection ends, and not regularly.
#[test]
fn a_client_that_does_not_read_is_cut_off() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Server::builder().io_timeout(SHORT * 3).build();
        let handle = server.handle();
        spawn(move || {
            server.serve(Listener::new(listener, acceptor()), |_request| {
                vec![b'x'; 20 << 20]
            })
        });
        let mut client = connect_to(addr).unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap();
        sleep(SHORT);
        assert_eq!(handle.connections(), 1);
        while handle.connections() > 0 {
            sleep(SHORT);
        }
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap_err();
        assert!(answer.len() < 20 << 20);
    });
}

/// A transport whose next write takes too long, if `is_stalled`.
struct Stalling {
    io: TcpStream,
    is_stalled: Rc<Cell<bool>>,
}

impl Read for Stalling {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.read(buf)
    }
}

impl Write for Stalling {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.is_stalled.replace(false) {
            true => Err(ErrorKind::TimedOut.into()),
            false => self.io.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

impl Stream for Stalling {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_write_timeout(timeout)
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.io.close_write()
    }
}

/// The end of a response may be encrypted when its time is up. It does not wait for the next
/// request, for which the client does not ask before it has the response.
#[test]
fn a_response_whose_client_pauses_is_not_left_half_sent() {
    within(|| {
        let (client, server) = tcp_pair();
        let connecting = spawn(move || connector().connect("localhost", client).unwrap());
        let is_stalled = Rc::new(Cell::new(false));
        let io = Stalling {
            io: server,
            is_stalled: Rc::clone(&is_stalled),
        };
        let server = acceptor().accept(io).unwrap();
        let serving = spawn(move || {
            Server::default().serve_connection(server, (), |_| {
                is_stalled.set(true);
                "hello"
            })
        });
        let mut client = connecting.join().unwrap();
        for _ in 0..2 {
            let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
            client.write_all(request).unwrap();
            let mut answer = [0; 1000];
            let read = client.read(&mut answer).unwrap();
            assert!(answer[..read].ends_with(b"hello"));
        }
        client.close_write().unwrap();
        serving.join().unwrap().unwrap();
    });
}

/// Begins the stop of a server while the handshake of a client is under way.
fn stop_during_a_handshake(grace: Duration) -> (TcpStream, JoinHandle<usize>) {
    let listener = listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::default();
    let handle = server.handle();
    spawn(move || server.serve(Listener::new(listener, acceptor()), |_| "hello"));
    let client = connect(addr).unwrap();
    while handle.connections() == 0 {
        sleep(Duration::from_millis(1));
    }
    let stopping = spawn(move || handle.stop(grace));
    while connect(addr).is_ok() {
        sleep(Duration::from_millis(1));
    }
    (client, stopping)
}

#[test]
fn a_stop_waits_for_a_handshake_under_way_and_answers_its_request() {
    within(|| {
        let (client, stopping) = stop_during_a_handshake(Duration::from_secs(30));
        // Later than idle connections are closed.
        sleep(Duration::from_millis(300));
        let mut client = connector().connect("localhost", client).unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        client.write_all(request).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.ends_with("hello"), "{answer}");
        assert_eq!(stopping.join().unwrap(), 0);
    });
}

#[test]
fn a_stop_closes_a_connection_whose_handshake_was_under_way_and_that_asks_for_nothing() {
    within(|| {
        let (client, stopping) = stop_during_a_handshake(Duration::from_secs(30));
        let mut client = connector().connect("localhost", client).unwrap();
        let mut answer = String::new();
        // The end is announced, so the client sees no truncation.
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "");
        assert_eq!(stopping.join().unwrap(), 0);
    });
}

#[test]
fn a_stop_ends_a_handshake_that_is_not_done_in_time() {
    within(|| {
        let (_client, stopping) = stop_during_a_handshake(Duration::from_millis(200));
        assert_eq!(stopping.join().unwrap(), 0);
    });
}

#[test]
fn https_is_served_on_workers() {
    within(|| {
        let workers = Workers::builder().threads(2).start(|_| ()).unwrap();
        let listeners = workers.listen("127.0.0.1:0").unwrap();
        let addr = listeners.local_addr();
        let acceptor = acceptor();
        let serving = Server::default().serve_each(&workers, move |worker| {
            let listener = Listener::new(listeners.on(&worker)?, acceptor.clone());
            Ok((listener, |_request| "hello"))
        });
        serving.unwrap();
        for _ in 0..8 {
            let answer = get(&mut connect_to(addr).unwrap());
            assert!(answer.ends_with("hello"), "{answer}");
        }
        let handshaking = connect(addr).unwrap();
        while workers.handle().connections() == 0 {
            sleep(Duration::from_millis(1));
        }
        let handle = workers.handle();
        let stopping = spawn(move || handle.stop(Duration::from_secs(30)));
        sleep(Duration::from_millis(300));
        let mut client = connector().connect("localhost", handshaking).unwrap();
        assert!(get(&mut client).ends_with("hello"));
        let stopped = stopping.join().unwrap();
        assert_eq!((stopped.left, stopped.unaccepted), (0, 0));
    });
}
