//! Handlers that fail, clients that leave, and listeners that end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Response, Server};
use evy_net::{Listener, TcpListener, TcpStream};
use evy_runtime::{sleep, spawn, unblock};
use evy_test_support::within;

use super::{connect, exchange, read_until, start, statuses};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Returns a server, and what it reports.
fn reporting() -> (Server, Arc<Mutex<Vec<String>>>) {
    let reports = Arc::<Mutex<Vec<String>>>::default();
    let reported = Arc::clone(&reports);
    let report = move |error: &io::Error| reported.lock().unwrap().push(error.to_string());
    (Server::builder().on_error(report).build(), reports)
}

#[test]
fn what_a_handler_fails_with_is_reported_and_never_shown_to_the_client() {
    fn fail(_request: Request<Body>) -> Result<String, String> {
        Err("the password is 1234".to_owned())
    }
    within(|| {
        let (server, reports) = reporting();
        let answer = exchange(start(server, fail), b"GET / HTTP/1.0\r\n\r\n");
        assert_eq!(statuses(&answer), ["500"]);
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        let expected = "\"GET / HTTP/1.0\": the password is 1234";
        assert_eq!(*reports.lock().unwrap(), [expected]);
    });
}

#[test]
fn a_timeout_in_a_handler_is_an_error_like_any_other() {
    fn slow(request: Request<Body>) -> Result<String, evy_runtime::Elapsed> {
        let limit = Duration::from_millis(20);
        evy_runtime::timeout(limit, || {
            if request.uri().path() == "/body" {
                drop(request.into_body().into_bytes());
            }
            sleep(Duration::from_secs(3600));
            "never".to_owned()
        })
    }
    within(|| {
        let (server, reports) = reporting();
        let addr = start(server, slow);
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
        ] {
            let start = Instant::now();
            let mut stream = connect(addr);
            stream.write_all(request.as_bytes()).unwrap();
            let head = read_until(&mut stream, "\r\n\r\n");
            assert_eq!(statuses(&head), ["500"], "{head}");
            assert!(start.elapsed() < Duration::from_secs(10));
            let reports: Vec<_> = reports.lock().unwrap().drain(..).collect();
            let line = request.lines().next().unwrap();
            assert!(
                reports[0].starts_with(&format!("\"{line}\": ")),
                "{reports:?}"
            );
        }
    });
}

#[test]
fn an_error_in_the_middle_of_a_response_is_seen_as_a_truncation_and_reported() {
    fn fail(_request: Request<Body>) -> Response<Body> {
        Response::new(Body::from_writer(|client| {
            client.write_all(b"begun")?;
            client.flush()?;
            Err(io::Error::other("the disk is gone"))
        }))
    }
    within(|| {
        let (server, reports) = reporting();
        let addr = start(server, fail);
        for request in [GET, b"GET / HTTP/1.0\r\n\r\n"] {
            let mut stream = connect(addr);
            stream.write_all(request).unwrap();
            let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let report = reports.lock().unwrap().pop().unwrap();
            assert!(report.ends_with("the disk is gone"), "{report}");
        }
    });
}

#[test]
fn clients_that_leave_at_any_time_harm_none_and_are_not_reported() {
    fn large(request: Request<Body>) -> io::Result<Body> {
        let length = request.into_body().into_bytes()?.len();
        Ok(Body::from_reader(
            io::repeat(b'x').take(5_000_000 + length as u64),
        ))
    }
    within(|| {
        let (server, reports) = reporting();
        let addr = start(server, large);
        let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
        for cut in 0..=request.len() {
            let mut leaving = connect(addr);
            leaving.write_all(&request[..cut]).unwrap();
            if cut == request.len() {
                leaving.read_exact(&mut [0; 100]).unwrap();
            }
            // With unread input, this resets the connection.
            drop(leaving);
        }
        let mut stream = connect(addr);
        stream.write_all(request).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head, *b"HTTP/1.1 200");
        assert_eq!(*reports.lock().unwrap(), [""; 0]);
    });
}

#[test]
fn a_client_that_sends_half_a_head_and_then_nothing_is_closed() {
    within(|| {
        let server = Server::builder().head_timeout(Duration::from_millis(100));
        let addr = start(server.build(), |_| "hello");
        for half in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            let answer = exchange(addr, half.as_bytes());
            assert_eq!(statuses(&answer), ["408"], "{half:?}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
    });
}

/// A listener that fails for good when a byte is sent to it.
struct Breaking {
    listener: TcpListener,
    broken: Rc<evy_runtime::Queue<i32>>,
}

impl Listener for Breaking {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        evy_runtime::select! {
            readable(&self.listener) -> _ready => self.listener.accept(),
            get(&*self.broken) -> errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// How a server ends that is not stopped, or not only.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Kill,
    KillWhileStopping,
    Broken,
}

/// Ends a server while one connection is idle and another one has a request in progress.
fn end_while_serving(end: End) {
    const EINVAL: i32 = 22;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let broken = Rc::new(evy_runtime::Queue::unbounded());
    let breaking = Breaking {
        listener,
        broken: Rc::clone(&broken),
    };
    let go_on = Rc::new(evy_runtime::Event::new());
    let has_begun = Rc::new(evy_runtime::Event::new());
    let server = Server::default();
    let handle = server.handle();
    let serving = spawn({
        let (go_on, has_begun) = (Rc::clone(&go_on), Rc::clone(&has_begun));
        move || {
            server.serve(breaking, move |request| {
                if request.uri().path() == "/slow" {
                    has_begun.send(()).unwrap();
                    go_on.wait().unwrap();
                }
                "hello"
            })
        }
    });
    let (mut idle, mut busy) = unblock(move || {
        let (mut idle, mut busy) = (connect(addr), connect(addr));
        idle.write_all(GET).unwrap();
        read_until(&mut idle, "hello");
        busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        (idle, busy)
    });
    has_begun.wait().unwrap();
    let start = Instant::now();
    match end {
        End::Kill => serving.kill(),
        End::KillWhileStopping => {
            let handle = handle.clone();
            spawn(move || handle.stop(Duration::from_secs(3600)));
            // Until it has begun to wait for its connections.
            while unblock(move || std::net::TcpStream::connect(addr).is_ok()) {}
            serving.kill();
        }
        End::Broken => broken.put(EINVAL),
    }
    let result = serving.join();
    match end {
        End::Kill | End::KillWhileStopping => assert!(result.unwrap_err().is_killed()),
        End::Broken => assert_eq!(result.unwrap().unwrap_err().raw_os_error(), Some(EINVAL)),
    }
    unblock(move || assert_eq!(idle.read(&mut [0]).unwrap(), 0));
    assert!(start.elapsed() < Duration::from_secs(5));
    unblock(move || {
        assert_eq!(
            std::net::TcpStream::connect(addr).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
    go_on.send(()).unwrap();
    let answer = unblock(move || super::read_to_end(&mut busy));
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("hello"),
        "{answer}"
    );
    while handle.connections() > 0 {
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_server_that_is_killed_closes_idle_connections_at_once_and_completes_its_requests() {
    within(|| end_while_serving(End::Kill));
}

#[test]
fn a_server_that_is_killed_while_it_stops_closes_idle_connections_too() {
    within(|| end_while_serving(End::KillWhileStopping));
}

#[test]
fn a_broken_listener_is_an_error_and_ends_connections_as_a_kill_does() {
    within(|| end_while_serving(End::Broken));
}

#[test]
fn another_handle_to_the_listener_survives_a_server() {
    within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let ask = move || unblock(move || exchange(addr, b"GET / HTTP/1.0\r\n\r\n"));
        for name in ["first", "second"] {
            let server = Server::default();
            let handle = server.handle();
            let listener = listener.try_clone().unwrap();
            let serving = spawn(move || server.serve(listener, move |_| name));
            assert!(ask().ends_with(name));
            assert_eq!(handle.stop(Duration::from_secs(30)), 0);
            serving.join().unwrap().unwrap();
        }
        let waiting = spawn(ask);
        let (mut stream, _) = listener.accept().unwrap();
        // With unread input, the end would be a reset.
        stream.read_exact(&mut [0; 18]).unwrap();
        stream.write_all(b"third").unwrap();
        drop(stream);
        assert_eq!(waiting.join().unwrap(), "third");
    });
}
