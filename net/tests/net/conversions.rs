//! Conversions of sockets of all kinds to and from descriptors, and what they print.

use std::fmt::Debug;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use evy_net::unix::{UnixDatagram, UnixListener, UnixStream};
use evy_net::{TcpListener, TcpStream, UdpSocket, connect, copy, listen};
use evy_runtime::{spawn, timeout, yield_now};
use evy_test_support::stream::tcp_pair;
use evy_test_support::{rerun_ignored, within};

use crate::peer::SocketPath;

fn is_nonblocking(fd: impl AsFd) -> bool {
    // SAFETY: the call only reads the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) };
    flags & libc::O_NONBLOCK != 0
}

fn is_closed_on_exec(fd: impl AsFd) -> bool {
    // SAFETY: as above.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFD) };
    flags & libc::FD_CLOEXEC != 0
}

/// Checks the conversions of one socket, there and back.
fn check<S, T>(socket: S)
where
    S: AsFd + AsRawFd + Debug + Into<OwnedFd> + IntoRawFd + FromRawFd + From<OwnedFd> + From<T>,
    T: AsFd + Debug + From<OwnedFd> + Into<OwnedFd> + From<S>,
{
    assert!(is_closed_on_exec(&socket));
    assert!(is_nonblocking(&socket));
    let printed = format!("{socket:?}");
    let number = socket.as_raw_fd();

    let fd: OwnedFd = socket.into();
    assert_eq!(fd.as_raw_fd(), number);
    assert!(!is_nonblocking(&fd));
    let std_socket = T::from(fd);
    assert_eq!(format!("{std_socket:?}"), printed);
    let fd: OwnedFd = std_socket.into();

    let socket = S::from(fd);
    assert!(is_nonblocking(&socket));
    let raw = socket.into_raw_fd();
    assert_eq!(raw, number);
    // SAFETY: the descriptor has been given up above, so it has no other owner.
    let socket = unsafe { S::from_raw_fd(raw) };
    assert!(is_nonblocking(&socket));
    assert_eq!(format!("{socket:?}"), printed);
    assert!(is_closed_on_exec(&socket));

    let std_socket = T::from(socket);
    assert!(!is_nonblocking(&std_socket));
    assert!(is_nonblocking(S::from(std_socket)));
}

#[test]
fn sockets_of_all_kinds_are_converted_and_print_what_std_prints() {
    within(|| {
        let (client, accepted) = tcp_pair();
        check::<_, std::net::TcpStream>(client);
        check::<_, std::net::TcpStream>(accepted);
        check::<_, std::net::TcpListener>(listen("127.0.0.1:0").unwrap());
        check::<_, std::net::UdpSocket>(UdpSocket::bind("127.0.0.1:0").unwrap());
        let path = SocketPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        check::<_, std::os::unix::net::UnixStream>(UnixStream::connect(&path).unwrap());
        check::<_, std::os::unix::net::UnixStream>(listener.accept().unwrap().0);
        check::<_, std::os::unix::net::UnixListener>(listener);
        check::<_, std::os::unix::net::UnixStream>(UnixStream::pair().unwrap().0);
        check::<_, std::os::unix::net::UnixDatagram>(UnixDatagram::unbound().unwrap());
        check::<_, std::os::unix::net::UnixDatagram>(UnixDatagram::pair().unwrap().0);
    });
}

#[test]
fn a_socket_prints_its_addresses() {
    within(|| {
        let (client, _accepted) = tcp_pair();
        let expected = format!(
            "TcpStream {{ addr: {:?}, peer: {:?}, fd: {} }}",
            client.local_addr().unwrap(),
            client.peer_addr().unwrap(),
            client.as_raw_fd()
        );
        assert_eq!(format!("{client:?}"), expected);
    });
}

#[test]
fn a_socket_with_other_handles_is_converted_into_a_non_blocking_duplicate() {
    within(|| {
        let (a, mut b) = UnixStream::pair().unwrap();
        let mut other = a.try_clone().unwrap();
        let duplicate = a.into_std().unwrap();
        assert_ne!(duplicate.as_raw_fd(), other.as_raw_fd());
        assert!(is_nonblocking(&duplicate) && is_closed_on_exec(&duplicate));
        b.write_all(b"x").unwrap();
        other.read_exact(&mut [0]).unwrap();
    });
}

/// A program cannot know what kind of socket it inherits.
#[test]
fn a_tcp_stream_from_the_descriptor_of_another_socket_loses_no_message() {
    within(|| {
        let domain = socket2::Domain::UNIX;
        let (near, far) = socket2::Socket::pair(domain, socket2::Type::SEQPACKET, None).unwrap();
        let mut near = TcpStream::from(OwnedFd::from(near));
        let reader = spawn(move || {
            let mut buf = [0; 10];
            [(); 3].map(|()| near.read(&mut buf).unwrap())
        });
        yield_now();
        for len in 1..=3 {
            far.send(&[0; 3][..len]).unwrap();
        }
        let read = timeout(Duration::from_secs(20), || reader.join());
        assert_eq!(read.expect("no message is lost").unwrap(), [1, 2, 3]);
    });
}

#[test]
fn handles_may_be_used_on_any_os_thread() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<TcpStream>();
    is_send_and_sync::<TcpListener>();
    is_send_and_sync::<UdpSocket>();
    is_send_and_sync::<UnixStream>();
    is_send_and_sync::<UnixListener>();
    is_send_and_sync::<UnixDatagram>();
}

// The action of the signal belongs to the process, so this test has a process of its own.
#[test]
fn no_write_raises_sigpipe() {
    let name = "conversions::a_child_writes_to_peers_that_are_gone";
    let output = rerun_ignored(name).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {stderr}", output.status);
}

#[test]
#[ignore = "is the child of `no_write_raises_sigpipe`"]
fn a_child_writes_to_peers_that_are_gone() {
    // SAFETY: the default action has no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };

    fn check(write: &mut dyn FnMut() -> std::io::Result<()>) {
        let error = loop {
            if let Err(error) = write() {
                break error;
            }
            evy_runtime::sleep(Duration::from_millis(1));
        };
        let expected = [
            ErrorKind::BrokenPipe,
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionRefused,
        ];
        assert!(expected.contains(&error.kind()), "{error:?}");
    }
    fn check_stream<S: evy_net::Stream>(pair: fn() -> (S, S)) {
        let (mut a, b) = pair();
        drop(b);
        check(&mut || a.write_all(b"x"));
        check(&mut || a.write_all(b"x"));
        check(&mut || {
            a.write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")])
                .map(drop)
        });
        for empty in [a.write(&[]), a.write_vectored(&[])] {
            assert_eq!(empty.unwrap_or(0), 0);
        }
        // A copy must not use a system call that raises it.
        let (mut source, mut from) = UnixStream::pair().unwrap();
        check(&mut || {
            source.write_all(b"x")?;
            let copying = std::mem::replace(&mut source, UnixStream::pair()?.0);
            drop(copying);
            let copied = copy(&mut from, &mut a);
            (source, from) = UnixStream::pair()?;
            copied.map(drop)
        });
    }
    check_stream(tcp_pair);
    check_stream(|| UnixStream::pair().unwrap());
    let (a, b) = UnixDatagram::pair().unwrap();
    drop(b);
    check(&mut || a.send(b"x").map(drop));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap(),
    )
    .unwrap();
    check(&mut || udp.send(b"x").map(drop));
    spawn(|| connect("127.0.0.1:1").map(drop))
        .join()
        .unwrap()
        .unwrap_err();
    std::process::exit(0);
}
