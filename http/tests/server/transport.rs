//! Transports other than TCP, and what a handler learns of the connection.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evy_http::{AccessLog, Peer, Server};
use evy_net::{Listener, Stream, TcpListener, TcpStream};
use evy_runtime::{Queue, spawn};
use evy_test_support::within;

use super::reporting::{collect_logs, logged};
use super::{connect, exchange, start};

/// A TCP stream with a handshake, which reads one byte, and a name.
struct Named(TcpStream, Rc<Cell<usize>>);

impl Read for Named {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Named {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Named {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn close_write(&mut self) -> io::Result<()> {
        Stream::close_write(&mut self.0)
    }

    fn handshake(&mut self) -> io::Result<()> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        self.1.set(self.1.get() + 1);
        match byte[0] {
            b'!' => Ok(()),
            _ => Err(io::Error::other("the handshake failed")),
        }
    }

    fn info(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(Name("session")))
    }
}

/// A listener that gives names to its clients.
struct NamingListener(TcpListener, Rc<Cell<usize>>);

#[derive(Clone, Debug, PartialEq)]
struct Name(&'static str);

impl Listener for NamingListener {
    type Stream = Named;
    type Addr = Name;

    fn accept(&self) -> io::Result<(Named, Name)> {
        let (stream, _) = self.0.accept()?;
        Ok((Named(stream, Rc::clone(&self.1)), Name("client")))
    }

    fn local_addr(&self) -> io::Result<Name> {
        Ok(Name("server"))
    }
}

#[test]
fn a_server_runs_over_a_listener_of_the_program() {
    within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let handshakes = Rc::new(Cell::new(0));
        let naming = NamingListener(listener, Rc::clone(&handshakes));
        let reports = Arc::new(Mutex::new(Vec::new()));
        let reported = Arc::clone(&reports);
        let server = Server::builder()
            .head_timeout(Duration::from_millis(300))
            .on_error(move |error| reported.lock().unwrap().push(error.kind()))
            .build();
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(naming, |request| {
                let peer = request.extensions().get::<Peer>().unwrap();
                let names = (
                    peer.downcast_ref::<Name>(),
                    peer.local_downcast_ref::<Name>(),
                );
                assert_eq!((peer.addr(), peer.local_addr()), (None, None));
                assert_eq!(peer.info::<Name>(), Some(&Name("session")));
                assert_eq!(peer.info::<String>(), None);
                format!("{names:?}")
            })
        });
        let ask = move |bytes: &'static [u8]| evy_runtime::unblock(move || exchange(addr, bytes));
        // A handshake that takes for ever holds back no other client, and ends.
        let silent = spawn(move || ask(b""));
        let answer = ask(b"!GET / HTTP/1.0\r\n\r\n");
        assert!(
            answer.ends_with("(Some(Name(\"client\")), Some(Name(\"server\")))"),
            "{answer}"
        );
        assert_eq!(ask(b"?"), "");
        assert_eq!(silent.join().unwrap(), "");
        assert_eq!(handshakes.get(), 2);
        // The silent client had no time left, and the other one was wrong.
        let kinds = [io::ErrorKind::Other, io::ErrorKind::TimedOut];
        assert_eq!(*reports.lock().unwrap(), kinds);
        assert_eq!(handle.stop(Duration::from_secs(5)), 0);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_failed_handshake_is_logged_as_a_warning() {
    collect_logs();
    within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let naming = NamingListener(listener, Rc::default());
        spawn(move || Server::default().serve(naming, |_| "hello"));
        let answer = evy_runtime::unblock(move || exchange(addr, b"?"));
        assert_eq!(answer, "");
        // It names the peer.
        let line = "Name(\"client\"): the handshake failed";
        assert_eq!(
            logged("evy::http", "the handshake"),
            [(log::Level::Warn, line.to_owned())]
        );
    });
}

#[test]
fn a_handler_gets_the_addresses_of_both_ends() {
    within(|| {
        let addr = start(Server::default(), |request| {
            let peer = request.extensions().get::<Peer>().unwrap();
            format!("{} {}", peer.addr().unwrap(), peer.local_addr().unwrap())
        });
        let mut stream = connect(addr);
        let expected = format!("{} {addr}", stream.local_addr().unwrap());
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        assert!(super::read_to_end(&mut stream).ends_with(&expected));
    });
}

#[test]
fn the_local_address_is_that_of_the_connection_if_the_server_listens_at_all() {
    within(|| {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server::default();
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(listener, |request| {
                let peer = request.extensions().get::<Peer>().unwrap();
                peer.local_addr().unwrap().to_string()
            })
        });
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let answer = evy_runtime::unblock(move || exchange(addr, b"GET / HTTP/1.0\r\n\r\n"));
        assert!(answer.ends_with(&addr.to_string()), "{answer}");
        handle.stop(Duration::ZERO);
        serving.join().unwrap().unwrap();
    });
}

/// One end of a connection in memory.
struct Memory {
    incoming: Rc<Queue<Vec<u8>>>,
    outgoing: Rc<Queue<Vec<u8>>>,
    rest: VecDeque<u8>,
    timeout: RefCell<Option<Duration>>,
}

fn memory_pair() -> (Memory, Memory) {
    let (a, b) = (Rc::new(Queue::unbounded()), Rc::new(Queue::unbounded()));
    let end = |incoming: &Rc<Queue<Vec<u8>>>, outgoing: &Rc<Queue<Vec<u8>>>| Memory {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        rest: VecDeque::new(),
        timeout: RefCell::default(),
    };
    (end(&a, &b), end(&b, &a))
}

impl Read for Memory {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            let timeout = self.timeout.borrow().unwrap_or(Duration::from_secs(3600));
            match self.incoming.get_timeout(timeout) {
                Some(bytes) => self.rest.extend(bytes),
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        self.rest.read(buf)
    }
}

impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.put(buf.to_vec());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Memory {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout.replace(timeout);
        Ok(())
    }

    fn set_write_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.outgoing.put(Vec::new());
        Ok(())
    }
}

#[test]
fn a_single_connection_can_be_served_in_memory() {
    within(|| {
        let (mut client, stream) = memory_pair();
        let seen = Rc::new(Cell::new(0));
        let serving = {
            let seen = Rc::clone(&seen);
            spawn(move || {
                let handler = |request: evy_http::Request<evy_http::Body>| {
                    seen.set(seen.get() + 1);
                    let peer = request.extensions().get::<Peer>().unwrap().clone();
                    format!("{:?}", peer.downcast_ref::<&str>())
                };
                Server::default().serve_connection(stream, "memory", handler)
            })
        };
        for _ in 0..2 {
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            let mut answer = vec![0; 500];
            let read = client.read(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..read]);
            assert!(answer.ends_with("\r\n\r\nSome(\"memory\")"), "{answer}");
        }
        client.close_write().unwrap();
        serving.join().unwrap().unwrap();
        assert_eq!(seen.get(), 2);
    });
}

#[test]
fn stopping_a_server_ends_a_single_idle_connection() {
    within(|| {
        let (mut client, stream) = memory_pair();
        let server = Server::default();
        let handle = server.handle();
        let serving = spawn(move || server.serve_connection(stream, (), |_| "hello"));
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert!(client.read(&mut [0; 500]).unwrap() > 0);
        assert_eq!((handle.connections(), handle.requests()), (1, 1));
        assert_eq!(handle.stop(Duration::from_secs(30)), 0);
        serving.join().unwrap().unwrap();
        assert_eq!(client.read(&mut [0; 500]).unwrap(), 0);
        assert_eq!((handle.connections(), handle.requests()), (0, 1));
    });
}

/// A listener that fails with these errors when the second client comes, and then accepts it.
struct FailingListener {
    listener: TcpListener,
    errors: RefCell<Vec<i32>>,
    accepted: Cell<usize>,
    waiting: RefCell<Option<(TcpStream, SocketAddr)>>,
}

impl Listener for FailingListener {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let waiting = self.waiting.take();
        let client = waiting.map_or_else(|| self.listener.accept(), Ok)?;
        if self.accepted.get() == 1
            && let Some(errno) = self.errors.borrow_mut().pop()
        {
            self.waiting.replace(Some(client));
            return Err(io::Error::from_raw_os_error(errno));
        }
        self.accepted.set(self.accepted.get() + 1);
        Ok(client)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Serves over a listener that fails with `errors` after the first client. Returns the errors that
/// are reported, and whether the first client, which is idle, still has its connection.
fn serve_with_errors(errors: Vec<i32>) -> (Vec<Option<i32>>, bool) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = {
        let reports = Arc::clone(&reports);
        let report = move |error: &io::Error| reports.lock().unwrap().push(error.raw_os_error());
        Server::builder().on_error(report).build()
    };
    let handle = server.handle();
    let failing = FailingListener {
        listener,
        errors: RefCell::new(errors),
        accepted: Cell::new(0),
        waiting: RefCell::default(),
    };
    let serving = spawn(move || server.serve(failing, |_request| "hello"));
    let is_kept = evy_runtime::unblock(move || {
        let mut idle = connect(addr);
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        idle.write_all(request).unwrap();
        super::read_until(&mut idle, "hello");
        assert!(exchange(addr, b"GET / HTTP/1.0\r\n\r\n").ends_with("hello"));
        idle.write_all(request).is_ok() && idle.read(&mut [0; 10]).is_ok_and(|read| read > 0)
    });
    handle.stop(Duration::ZERO);
    serving.join().unwrap().unwrap();
    let reports = reports.lock().unwrap().clone();
    (reports, is_kept)
}

#[test]
fn errors_of_single_connections_do_not_end_a_server() {
    within(|| {
        // EPERM, ENETDOWN, ENETUNREACH, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, EPROTO
        let errors = vec![1, 100, 101, 103, 110, 113, 71];
        let expected: Vec<_> = errors.iter().rev().copied().map(Some).collect();
        assert_eq!(serve_with_errors(errors), (expected, true));
    });
}

#[test]
fn an_idle_connection_gives_way_when_descriptors_run_out() {
    within(|| {
        const EMFILE: i32 = 24;
        assert_eq!(serve_with_errors(vec![EMFILE]), (Vec::new(), false));
        // Nothing is left to close the second time.
        assert_eq!(
            serve_with_errors(vec![EMFILE, EMFILE]),
            (vec![Some(EMFILE)], false)
        );
    });
}

/// A transport with the faults that system calls have: each wait is interrupted once, and a timeout
/// is reported as `WouldBlock`.
struct Rough(Memory, Cell<u32>);

impl Read for Rough {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Rough {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Rough {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn wait_readable(&mut self) -> io::Result<()> {
        self.1.set(self.1.get() + 1);
        match self.1.get() {
            1 => Err(io::ErrorKind::Interrupted.into()),
            2 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }

    fn close_write(&mut self) -> io::Result<()> {
        Stream::close_write(&mut self.0)
    }
}

#[test]
fn a_wait_for_a_request_survives_an_interruption_and_a_timeout() {
    within(|| {
        let (mut client, stream) = memory_pair();
        let stream = Rough(stream, Cell::new(0));
        let serving = spawn(move || Server::default().serve_connection(stream, (), |_| "hello"));
        for _ in 0..2 {
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            let mut answer = vec![0; 500];
            let read = client.read(&mut answer).unwrap();
            assert!(answer[..read].ends_with(b"hello"));
        }
        client.close_write().unwrap();
        serving.join().unwrap().unwrap();
    });
}

/// A transport that has taken a response, like TLS, and then cannot send it in time.
struct Stuck(Memory);

impl Read for Stuck {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Stuck {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Stream for Stuck {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn close_write(&mut self) -> io::Result<()> {
        Stream::close_write(&mut self.0)
    }

    fn reset(&mut self) {
        self.0.outgoing.put(b"reset".to_vec());
    }
}

#[test]
fn a_client_that_does_not_take_its_response_gets_no_other_one() {
    within(|| {
        let (mut client, stream) = memory_pair();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let logged = Arc::clone(&lines);
        let log = AccessLog::custom(move |record| {
            logged.lock().unwrap().push(record.line().to_owned());
        });
        let server = Server::builder().access_log(log).build();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let served = server.serve_connection(Stuck(stream), (), |_| "hello");
        assert_eq!(served.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut answer = vec![0; 500];
        let read = client.read(&mut answer).unwrap();
        assert!(answer[..read].ends_with(b"hello"));
        // It must not take the end of the stream for the end of the response.
        let read = client.read(&mut answer).unwrap();
        assert_eq!(&answer[..read], b"reset");
        assert_eq!(*lines.lock().unwrap(), ["GET / HTTP/1.1"]);
    });
}
