//! Unix sockets: they behave like std's, but cooperatively.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as std_net;
use std::rc::Rc;
use std::time::Duration;

use evy_net::unix::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use evy_net::{Server, Shutdown};
use evy_runtime::{sleep, spawn, timeout, yield_now};
use evy_test_support::{rerun_ignored, within};

use crate::peer::{Peer, SocketPath};

const SHORT: Duration = Duration::from_millis(10);

/// Returns an abstract name that no other test uses.
fn abstract_name() -> SocketAddr {
    let path = SocketPath::new();
    SocketAddr::from_abstract_name(path.to_str()).unwrap()
}

/// Returns a listener with room for one connection, which is taken.
fn full_listener() -> (SocketPath, UnixListener, UnixStream) {
    let path = SocketPath::new();
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&socket2::SockAddr::unix(&path).unwrap())
        .unwrap();
    socket.listen(0).unwrap();
    let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
    let first = UnixStream::connect(&path).unwrap();
    (path, listener, first)
}

#[test]
fn a_listener_accepts_connections_to_its_path() {
    within(|| {
        let path = SocketPath::new();
        let server = UnixListener::bind(&path).unwrap();
        let addr = server.local_addr().unwrap();
        assert_eq!(addr.as_pathname(), Some(path.0.as_path()));
        let accepting = spawn(move || {
            let (mut stream, peer) = server.accept().unwrap();
            assert!(peer.is_unnamed());
            stream.write_all(b"hello").unwrap();
        });
        yield_now();
        assert!(!accepting.is_finished());
        let mut client = UnixStream::connect(&path).unwrap();
        assert_eq!(
            client.peer_addr().unwrap().as_pathname(),
            Some(path.0.as_path())
        );
        assert!(client.local_addr().unwrap().is_unnamed());
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        accepting.join().unwrap();
    });
}

#[test]
fn an_address_may_be_an_abstract_name() {
    within(|| {
        let addr = abstract_name();
        let server = UnixListener::bind_addr(&addr).unwrap();
        let listening = server.local_addr().unwrap();
        assert_eq!(listening.as_abstract_name(), addr.as_abstract_name());
        let mut client = UnixStream::connect_addr(&addr).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        client.write_all(b"x").unwrap();
        accepted.read_exact(&mut [0]).unwrap();

        let addr = abstract_name();
        let receiver = UnixDatagram::bind_addr(&addr).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to_addr(b"one", &addr).unwrap();
        sender.connect_addr(&addr).unwrap();
        sender.send(b"three").unwrap();
        let mut buf = [0; 10];
        assert_eq!(receiver.recv(&mut buf).unwrap(), 3);
        let (len, from) = receiver.recv_from(&mut buf).unwrap();
        assert!(len == 5 && from.is_unnamed());
    });
}

#[test]
fn errors_are_those_of_std() {
    within(|| {
        let path = SocketPath::new();
        let bad = [path.0.clone(), "with\0nul".into(), "x".repeat(200).into()];
        let same = |ours: std::io::Error, theirs: std::io::Error| {
            assert_eq!(ours.raw_os_error(), theirs.raw_os_error());
            assert_eq!(ours.to_string(), theirs.to_string());
        };
        for path in &bad {
            let theirs = std_net::UnixStream::connect(path).unwrap_err();
            same(UnixStream::connect(path).unwrap_err(), theirs);
            let (ours, theirs) = (UnixDatagram::unbound(), std_net::UnixDatagram::unbound());
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            same(
                ours.connect(path).unwrap_err(),
                theirs.connect(path).unwrap_err(),
            );
            let sent = theirs.send_to(b"x", path);
            same(ours.send_to(b"x", path).unwrap_err(), sent.unwrap_err());
        }
        for path in &bad[1..] {
            let theirs = std_net::UnixListener::bind(path).unwrap_err();
            same(UnixListener::bind(path).unwrap_err(), theirs);
        }
        let (unnamed, _b) = UnixStream::pair().unwrap();
        let addr = unnamed.local_addr().unwrap();
        let theirs = std_net::UnixStream::connect_addr(&addr).unwrap_err();
        same(UnixStream::connect_addr(&addr).unwrap_err(), theirs);
        let refused = abstract_name();
        let error = UnixStream::connect_addr(&refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn the_file_of_a_dropped_listener_stays_as_in_std() {
    within(|| {
        let path = SocketPath::new();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.0.exists());
        let error = UnixStream::connect(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();
        UnixListener::bind(&path).unwrap();
    });
}

#[test]
fn connecting_waits_while_the_backlog_is_full() {
    within(|| {
        let (path, listener, _first) = full_listener();
        let waiting = [(); 3].map(|()| {
            let path = path.0.clone();
            spawn(move || UnixStream::connect(path).unwrap())
        });
        // Other green threads run meanwhile, and the wait can be interrupted.
        sleep(SHORT * 3);
        assert!(waiting.iter().all(|client| !client.is_finished()));
        assert!(timeout(SHORT, || UnixStream::connect(&path)).is_err());
        let killed = path.0.clone();
        let killed = spawn(move || drop(UnixStream::connect(killed)));
        yield_now();
        killed.kill();
        assert!(killed.join().unwrap_err().is_killed());
        let _accepted = [(); 4].map(|()| listener.accept().unwrap());
        for client in waiting {
            client.join().unwrap();
        }
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn connecting_fails_when_a_listener_with_a_full_backlog_is_closed() {
    within(|| {
        let (path, listener, _first) = full_listener();
        let waiting = path.0.clone();
        let waiting = spawn(move || UnixStream::connect(waiting));
        sleep(SHORT);
        drop(listener);
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn acceptors_are_served_in_fifo_order() {
    within(|| {
        let path = SocketPath::new();
        let server = Rc::new(UnixListener::bind(&path).unwrap());
        let accepted = Rc::new(Cell::new(0));
        let acceptors = [(); 3].map(|()| {
            let (server, accepted) = (Rc::clone(&server), Rc::clone(&accepted));
            spawn(move || {
                let mut byte = [0];
                let (mut stream, _) = server.accept().unwrap();
                accepted.set(accepted.get() + 1);
                stream.read_exact(&mut byte).unwrap();
                byte[0]
            })
        });
        yield_now();
        for byte in 0..3 {
            UnixStream::connect(&path)
                .unwrap()
                .write_all(&[byte])
                .unwrap();
        }
        let bytes = acceptors.map(|acceptor| acceptor.join().unwrap());
        assert_eq!(bytes, [0, 1, 2]);
    });
}

#[test]
fn incoming_connections_are_iterated() {
    within(|| {
        let path = SocketPath::new();
        let server = UnixListener::bind(&path).unwrap();
        let clients = [(); 3].map(|()| UnixStream::connect(&path).unwrap());
        for stream in server.incoming().take(2) {
            stream.unwrap();
        }
        let mut third = (&server).into_iter();
        third.next().unwrap().unwrap();
        drop(clients);
        let clone = server.try_clone().unwrap();
        clone.set_nonblocking(true).unwrap();
        let error = server.incoming().next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_server_serves_a_unix_socket() {
    within(|| {
        let path = SocketPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let server = Server::new().max_connections(2);
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(listener, |mut stream, addr| {
                assert!(addr.is_unnamed());
                let mut line = String::new();
                stream.read_to_string(&mut line)?;
                stream.write_all(line.to_uppercase().as_bytes())
            })
        });
        let clients: Vec<_> = (0..5)
            .map(|number| {
                let path = path.0.clone();
                spawn(move || {
                    let mut stream = UnixStream::connect(path).unwrap();
                    write!(stream, "client {number}").unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    answer
                })
            })
            .collect();
        for (number, client) in clients.into_iter().enumerate() {
            assert_eq!(client.join().unwrap(), format!("CLIENT {number}"));
        }
        handle.stop();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn shutdown_wakes_a_parked_reader() {
    within(|| {
        let (a, _b) = UnixStream::pair().unwrap();
        let mut clone = a.try_clone().unwrap();
        let reader = spawn(move || clone.read(&mut [0]).unwrap());
        yield_now();
        a.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);

        for how in [Shutdown::Read, Shutdown::Both] {
            let (a, _b) = UnixDatagram::pair().unwrap();
            let readers = [(); 2].map(|()| {
                let clone = a.try_clone().unwrap();
                spawn(move || clone.recv(&mut [0]).unwrap())
            });
            yield_now();
            a.shutdown(how).unwrap();
            assert_eq!(readers.map(|reader| reader.join().unwrap()), [0, 0]);
            let (len, from) = a.recv_from(&mut [0]).unwrap();
            assert!(len == 0 && from.is_unnamed());
        }
    });
}

// A read from a Unix socket stops where descriptors are attached, although there is more behind.
#[test]
fn a_short_read_before_attached_descriptors_does_not_hide_what_follows() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::os::fd::AsFd;

    within(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            let mut text = Vec::new();
            while text.len() < 21 {
                let mut buf = [0; 100];
                let len = a.read(&mut buf).unwrap();
                text.extend_from_slice(&buf[..len]);
            }
            text
        });
        yield_now();
        let fds = [b.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        (&b).write_all(b"before ").unwrap();
        let text = [std::io::IoSlice::new(b"attached ")];
        sendmsg(&b, &text, &mut control, SendFlags::empty()).unwrap();
        (&b).write_all(b"after").unwrap();
        assert_eq!(reader.join().unwrap(), b"before attached after");
    });
}

#[test]
fn datagrams_keep_their_limits_and_may_be_empty() {
    within(|| {
        let (a, b) = UnixDatagram::pair().unwrap();
        for message in [&b"0123456789"[..], b"", b"next"] {
            assert_eq!(b.send(message).unwrap(), message.len());
        }
        let mut buf = [0; 4];
        assert_eq!(a.recv(&mut buf).unwrap(), 4);
        assert_eq!(a.recv(&mut buf).unwrap(), 0);
        let (len, from) = a.recv_from(&mut buf).unwrap();
        assert!(len == 4 && from.is_unnamed());
        assert_eq!(&buf, b"next");
    });
}

#[test]
fn receivers_of_datagrams_are_served_in_fifo_order() {
    within(|| {
        let (a, b) = UnixDatagram::pair().unwrap();
        let a = Rc::new(a);
        let receivers = [(); 3].map(|()| {
            let a = Rc::clone(&a);
            spawn(move || {
                let mut byte = [0];
                a.recv(&mut byte).unwrap();
                byte[0]
            })
        });
        yield_now();
        for byte in [b"1", b"2", b"3"] {
            b.send(byte).unwrap();
        }
        let bytes = receivers.map(|receiver| receiver.join().unwrap());
        assert_eq!(&bytes, b"123");
    });
}

/// Fills the queue of a receiver by `send`, and checks that each way of waiting works.
fn senders_wait_for_room(
    receiver: UnixDatagram,
    sender: UnixDatagram,
    send: impl Fn(&UnixDatagram) -> std::io::Result<usize> + Clone + 'static,
) {
    let mut sent = 0;
    sender.set_nonblocking(true).unwrap();
    while send(&sender).is_ok() {
        sent += 1;
    }
    assert_eq!(send(&sender).unwrap_err().kind(), ErrorKind::WouldBlock);
    sender.set_nonblocking(false).unwrap();
    sender.set_write_timeout(Some(SHORT)).unwrap();
    assert_eq!(send(&sender).unwrap_err().kind(), ErrorKind::TimedOut);
    sender.set_write_timeout(None).unwrap();
    assert!(timeout(SHORT, || send(&sender)).is_err());
    let sender = Rc::new(sender);
    let senders = [(); 3].map(|()| {
        let (sender, send) = (Rc::clone(&sender), send.clone());
        spawn(move || send(&sender).unwrap())
    });
    sleep(SHORT);
    assert!(senders.iter().all(|sender| !sender.is_finished()));
    for _ in 0..sent + 3 {
        receiver.recv(&mut [0; 16]).unwrap();
    }
    for sender in senders {
        assert_eq!(sender.join().unwrap(), 1);
    }
}

#[test]
fn sending_waits_while_the_queue_of_the_receiver_is_full() {
    within(|| {
        let (receiver, sender) = UnixDatagram::pair().unwrap();
        senders_wait_for_room(receiver, sender, |sender| sender.send(b"x"));

        let path = SocketPath::new();
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        senders_wait_for_room(receiver, sender, |sender| sender.send(b"x"));

        let path = SocketPath::new();
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let to = path.0.clone();
        senders_wait_for_room(receiver, sender, move |sender| sender.send_to(b"x", &to));

        let addr = abstract_name();
        let receiver = UnixDatagram::bind_addr(&addr).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        senders_wait_for_room(receiver, sender, move |sender| {
            sender.send_to_addr(b"x", &addr)
        });
    });
}

// The limit applies to the process, so this test has a process of its own.
#[test]
fn a_connection_without_a_descriptor_waits_until_there_is_one() {
    let name = "unix::a_child_accepts_with_all_descriptors_in_use";
    let output = rerun_ignored(name).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[test]
#[ignore = "is the child of `a_connection_without_a_descriptor_waits_until_there_is_one`"]
fn a_child_accepts_with_all_descriptors_in_use() {
    let path = SocketPath::new();
    let server = UnixListener::bind(&path).unwrap();
    let clients = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
    // The listener waits once, so that its readiness is known from then on.
    drop(server.accept().unwrap());
    drop(server.accept().unwrap());
    assert!(timeout(SHORT, || server.accept()).is_err());
    let mut waiting = UnixStream::connect(&path).unwrap();
    let limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    // SAFETY: the call only reads the limit.
    let is_set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(is_set, 0);
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    for _ in 0..2 {
        let error = server.accept().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    }
    held.pop();
    let (mut accepted, _) = server.accept().unwrap();
    waiting.write_all(b"x").unwrap();
    accepted.read_exact(&mut [0]).unwrap();
    drop(clients);
}

#[test]
fn socat_and_nc_connect_to_a_listener() {
    within(|| {
        let path = SocketPath::new();
        let server = UnixListener::bind(&path).unwrap();
        let target = format!("UNIX-CONNECT:{}", path.to_str());
        let programs: [(&str, &[&str]); 2] = [
            ("socat", &["STDIO", &target]),
            ("nc", &["-N", "-U", path.to_str()]),
        ];
        for (name, arguments) in programs {
            let Some(mut peer) = Peer::start(name, arguments) else {
                continue;
            };
            peer.0
                .stdin
                .take()
                .unwrap()
                .write_all(b"question\n")
                .unwrap();
            let (mut stream, _) = server.accept().unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, "question\n", "{name}");
            stream.write_all(b"answer\n").unwrap();
            drop(stream);
            assert_eq!(peer.line(), "answer", "{name}");
        }
    });
}

#[test]
fn a_python_program_accepts_and_receives() {
    const SERVER: &str = "
import socket, sys
stream = socket.socket(socket.AF_UNIX)
stream.bind('\\0' + sys.argv[1])
stream.listen(1)
datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagram.bind(sys.argv[1])
print('ready', flush=True)
s, addr = stream.accept()
s.sendall(b'hello ' + s.recv(100))
s.shutdown(socket.SHUT_WR)
data, addr = datagram.recvfrom(100)
datagram.sendto(data.upper(), addr)
s.recv(1)
";
    within(|| {
        let (path, own) = (SocketPath::new(), SocketPath::new());
        let Some(mut python) = Peer::start("python3", &["-c", SERVER, path.to_str()]) else {
            return;
        };
        assert_eq!(python.line(), "ready");
        let addr = SocketAddr::from_abstract_name(path.to_str()).unwrap();
        let mut stream = UnixStream::connect_addr(&addr).unwrap();
        stream.write_all(b"evy").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello evy");
        let datagram = UnixDatagram::bind(&own).unwrap();
        datagram.send_to(b"loud", &path).unwrap();
        let mut buf = [0; 10];
        let (len, from) = datagram.recv_from(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"LOUD");
        assert_eq!(from.as_pathname(), Some(path.0.as_path()));
    });
}

#[test]
fn operations_that_never_park_do_not_starve_other_green_threads() {
    const MISSING: &str = "/missing/socket";
    let repeated: [fn(&UnixDatagram); 7] = [
        |_| drop(UnixDatagram::pair().unwrap()),
        |_| drop(UnixDatagram::unbound().unwrap()),
        |_| drop(UnixStream::pair().unwrap()),
        |_| drop(UnixStream::connect(MISSING).unwrap_err()),
        |socket| drop(socket.connect(MISSING).unwrap_err()),
        |socket| drop(socket.connect_addr(&abstract_name()).unwrap_err()),
        |socket| assert!(socket.take_error().unwrap().is_none()),
    ];
    for repeated in repeated {
        within(move || {
            let socket = UnixDatagram::unbound().unwrap();
            let other = spawn(|| (0..100).for_each(|_| yield_now()));
            while !other.is_finished() {
                repeated(&socket);
            }
        });
    }
}
