//! `serve`: an accept loop that outlives its connections, whatever happens to them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::{Cell, RefCell};
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evy_net::{Listener, Server, ServerHandle, TcpListener, TcpStream, connect, listen};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{sleep, spawn, yield_now};
use evy_test_support::{rerun_ignored, within};

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(3600);

type Errors = Rc<RefCell<Vec<Error>>>;

/// Returns a server that keeps the errors that it reports.
fn recording() -> (Server, Errors) {
    let errors = Errors::default();
    let reported = Rc::clone(&errors);
    // An error cannot be cloned.
    let keep = move |error: &Error| {
        let copy = match error.raw_os_error() {
            Some(code) => Error::from_raw_os_error(code),
            None => Error::new(error.kind(), error.to_string()),
        };
        reported.borrow_mut().push(copy);
    };
    (Server::new().on_error(keep), errors)
}

/// Serves the greeting "fine" on `listener`.
fn serve_greeting(
    server: Server,
    listener: impl Listener<Stream = TcpStream> + 'static,
) -> (JoinHandle<io::Result<()>>, ServerHandle) {
    let handle = server.handle();
    let serving = spawn(move || server.serve(listener, |mut client, _| client.write_all(b"fine")));
    yield_now();
    (serving, handle)
}

fn read_from(addr: SocketAddr) -> String {
    let mut text = String::new();
    connect(addr).unwrap().read_to_string(&mut text).unwrap();
    text
}

/// A listener that fails as a script says, and otherwise accepts from a real one.
struct Failing<F> {
    listener: TcpListener,
    /// Called with the number of each call of `accept`.
    failure: F,
    accepts: Cell<usize>,
}

impl<F: Fn(usize) -> io::Result<()>> Failing<F> {
    fn new(failure: F) -> (Self, SocketAddr) {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let accepts = Cell::new(0);
        let failing = Self {
            listener,
            failure,
            accepts,
        };
        (failing, addr)
    }
}

impl<F: Fn(usize) -> io::Result<()>> Listener for Failing<F> {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accepts.set(self.accepts.get() + 1);
        (self.failure)(self.accepts.get())?;
        self.listener.accept()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[test]
fn serve_closes_the_connection_when_its_handler_returns() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Server::new();
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(listener, |mut client, _| {
                client.write_all(b"bye").unwrap();
            })
        });
        let mut text = String::new();
        connect(addr).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "bye");
        handle.stop();
        assert!(serving.join().unwrap().is_ok());
    });
}

#[test]
fn a_handler_error_ends_its_connection_and_is_reported() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (server, errors) = recording();
        let handle = server.handle();
        let fails = Cell::new(true);
        let serving = spawn(move || {
            server.serve(listener, move |mut client, _| {
                if fails.replace(false) {
                    return Err("the handler failed".into());
                }
                client
                    .write_all(b"fine")
                    .map_err(Box::<dyn std::error::Error + Send + Sync>::from)
            })
        });
        assert_eq!(read_from(addr), "");
        assert_eq!(read_from(addr), "fine");
        let errors: Vec<_> = errors.borrow().iter().map(Error::to_string).collect();
        assert_eq!(errors, ["the handler failed"]);
        handle.stop();
        assert!(serving.join().unwrap().is_ok());
    });
}

#[test]
fn a_client_that_resets_its_connection_does_not_end_the_server() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (server, errors) = recording();
        let serving = spawn(move || {
            server.serve(listener, |mut client, _| -> io::Result<()> {
                let mut byte = [0];
                client.read_exact(&mut byte)?;
                client.write_all(&byte)
            })
        });
        let mut client = connect(addr).unwrap();
        evy_net::Stream::reset(&mut client);
        yield_now();
        drop(client);
        let mut other = connect(addr).unwrap();
        other.write_all(b"x").unwrap();
        other.read_exact(&mut [0]).unwrap();
        assert_eq!(errors.borrow()[0].kind(), ErrorKind::ConnectionReset);
        serving.kill();
    });
}

#[test]
fn errors_of_single_connections_and_a_lack_of_resources_are_survived_and_reported() {
    const TRANSIENT: [i32; 17] = [
        libc::ECONNABORTED,
        libc::ECONNRESET,
        libc::EPROTO,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EOPNOTSUPP,
        libc::ENOPROTOOPT,
        libc::EPERM,
        libc::ETIMEDOUT,
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
        libc::ENOBUFS,
        libc::ECONNABORTED,
    ];
    within(|| {
        let (listener, addr) = Failing::new(|n| match TRANSIENT.get(n - 1) {
            Some(code) => Err(Error::from_raw_os_error(*code)),
            None => Ok(()),
        });
        let (server, errors) = recording();
        let (serving, handle) = serve_greeting(server, listener);
        assert_eq!(read_from(addr), "fine");
        let reported: Vec<_> = errors
            .borrow()
            .iter()
            .filter_map(Error::raw_os_error)
            .collect();
        assert_eq!(reported, TRANSIENT);
        handle.stop();
        assert!(serving.join().unwrap().is_ok());
    });
}

#[test]
fn an_error_of_the_listener_ends_the_server_and_is_returned() {
    within(|| {
        let (listener, _) = Failing::new(|_| Err(Error::from_raw_os_error(libc::EINVAL)));
        let (server, errors) = recording();
        let (serving, _) = serve_greeting(server, listener);
        let error = serving.join().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(errors.borrow().is_empty());
    });
}

#[test]
fn a_panic_of_the_listener_is_a_panic_of_serve() {
    within(|| {
        let (listener, _) = Failing::new(|_| std::panic::resume_unwind(Box::new("listener")));
        let (serving, _) = serve_greeting(Server::new(), listener);
        let error = serving.join().unwrap_err();
        assert_eq!(error.downcast_ref::<&str>(), Some(&"listener"));
    });
}

#[test]
fn a_panic_in_on_error_ends_nothing() {
    within(|| {
        let (listener, addr) = Failing::new(|n| match n {
            1 => Err(Error::from_raw_os_error(libc::EMFILE)),
            _ => Ok(()),
        });
        let server = Server::new().on_error(|_| std::panic::resume_unwind(Box::new("logger")));
        let (serving, handle) = serve_greeting(server, listener);
        assert_eq!(read_from(addr), "fine");
        handle.stop();
        assert!(serving.join().unwrap().is_ok());
    });
}

#[test]
fn a_server_can_be_killed_while_it_reports_an_error() {
    within(|| {
        let (listener, _) = Failing::new(|_| Err(Error::from_raw_os_error(libc::EMFILE)));
        let server = Server::new().on_error(|_| sleep(LONG));
        let (serving, _) = serve_greeting(server, listener);
        yield_now();
        serving.kill();
        assert!(serving.join().unwrap_err().is_killed());
    });
}

// The limit applies to the process, so the server has a process of its own.
#[test]
fn without_memory_for_a_stack_the_server_pauses_and_retries() {
    let output = rerun_ignored("server::a_child_serves_more_clients_than_there_are_stacks")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[test]
#[ignore = "is the child of `without_memory_for_a_stack_the_server_pauses_and_retries`"]
fn a_child_serves_more_clients_than_there_are_stacks() {
    let listener = listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (server, errors) = recording();
    let serving = spawn(move || {
        server
            .max_connections(5000)
            .serve(listener, |mut client, _| {
                let mut byte = [0];
                client.read_exact(&mut byte)?;
                client.write_all(&byte)
            })
    });
    yield_now();
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let limit = libc::rlimit {
        rlim_cur: pages * 4096 + (96 << 20),
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the call only reads the limit.
    let is_set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(is_set, 0);
    let mut clients = Vec::new();
    while errors.borrow().is_empty() {
        clients.push(connect(addr).unwrap());
        assert!(clients.len() < 900, "the memory never runs out");
        yield_now();
    }
    assert!(!serving.is_finished());
    // The heap can still grow.
    drop(std::hint::black_box(vec![1_u8; 1 << 20]));
    // The last one has been accepted, and waits for a stack.
    let mut last = clients.pop().unwrap();
    drop(clients);
    last.write_all(b"x").unwrap();
    last.read_exact(&mut [0]).unwrap();
    let mut another = connect(addr).unwrap();
    another.write_all(b"x").unwrap();
    another.read_exact(&mut [0]).unwrap();
    serving.kill();
}

#[test]
fn a_handler_panic_does_not_affect_other_connections() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let first = Cell::new(true);
        let serving = spawn(move || {
            evy_net::serve(listener, move |mut client, _| {
                if first.replace(false) {
                    std::panic::resume_unwind(Box::new("handler"));
                }
                client.write_all(b"fine").unwrap();
            })
        });
        let mut text = String::new();
        connect(addr).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "");
        connect(addr).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "fine");
        serving.kill();
    });
}

#[test]
fn a_connection_over_the_limit_waits_until_another_one_ends() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = spawn(move || {
            Server::new()
                .max_connections(5)
                .serve(listener, |mut client, _| {
                    client.write_all(b"x").unwrap();
                    // Keeps the connection until the client closes it.
                    client.read_exact(&mut [0]).ok();
                })
        });
        let mut clients: Vec<_> = (0..5).map(|_| connect(addr).unwrap()).collect();
        for client in &mut clients {
            client.read_exact(&mut [0]).unwrap();
        }
        let mut sixth = connect(addr).unwrap();
        sixth.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(
            sixth.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        clients.pop();
        sixth.set_read_timeout(Some(LONG)).unwrap();
        sixth.read_exact(&mut [0]).unwrap();
        serving.kill();
        evy_runtime::shutdown(Duration::ZERO);
    });
}

/// Uses some 600 KiB of stack, more than a green thread has by default.
#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let frame = std::hint::black_box([depth; 256]);
    match depth {
        0 => frame[0],
        _ => recurse(depth - 1) + frame[255].min(1),
    }
}

#[test]
fn a_handler_has_a_stack_of_the_size_that_its_server_sets() {
    within(|| {
        let server = Server::new().stack_size(2 << 20);
        let handle = server.handle();
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = spawn(move || {
            server.serve(listener, |mut client, _addr| {
                write!(client, "{}", recurse(600))
            })
        });
        yield_now();
        assert_eq!(read_from(addr), "600");
        handle.stop();
        serving.join().unwrap().unwrap();
    });
}
