//! Waits end for what they wait for: for the end of a socket, and not for other events.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use evy_test_support::within;

use crate::splices::tcp_pair;
use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

/// Receives from a socket in each way, with what remains to be received.
fn received_in_all_ways(fd: i32) -> Vec<(i64, Option<i32>)> {
    let mut buffer = [0_u8; 8];
    let part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: 8,
    };
    // SAFETY: the pointers are valid, and all zeros is a valid message.
    unsafe {
        let mut messages: [libc::mmsghdr; 2] = std::mem::zeroed();
        for message in &mut messages {
            message.msg_hdr.msg_iov = (&raw const part).cast_mut();
            message.msg_hdr.msg_iovlen = 1;
        }
        let message = &raw mut messages[0].msg_hdr;
        vec![
            outcome(libc::recv(fd, buffer.as_mut_ptr().cast(), 8, 0) as i64),
            outcome(libc::recv(fd, buffer.as_mut_ptr().cast(), 8, libc::MSG_PEEK) as i64),
            outcome(libc::recv(fd, buffer.as_mut_ptr().cast(), 8, libc::MSG_DONTWAIT) as i64),
            outcome(libc::recvmsg(fd, message, 0) as i64),
            outcome(libc::recvmmsg(
                fd,
                messages.as_mut_ptr(),
                2,
                0,
                ptr::null_mut(),
            )),
            outcome(libc::read(fd, buffer.as_mut_ptr().cast(), 8) as i64),
            outcome(libc::readv(fd, &raw const part, 1) as i64),
        ]
    }
}

#[test]
fn a_socket_for_datagrams_that_is_shut_has_ended() {
    if !is_patched() {
        return;
    }
    within(|| {
        let found = as_on_os_thread(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(socket.local_addr().unwrap()).unwrap();
            // SAFETY: the call takes numbers only.
            unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
            received_in_all_ways(socket.as_raw_fd())
        });
        assert_eq!(found[0], (0, None));
        assert_eq!(found[2], (-1, Some(libc::EAGAIN)));
        as_on_os_thread(|| {
            let (socket, _peer) = UnixDatagram::pair().unwrap();
            socket.shutdown(Shutdown::Both).unwrap();
            received_in_all_ways(socket.as_raw_fd())
        });
        // One that is shut meanwhile ends the wait.
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let shut = Arc::clone(&socket);
        let received = while_ticking(
            2,
            move |_| socket.recv(&mut [0; 8]).unwrap(),
            // SAFETY: the call takes numbers only.
            move || unsafe {
                libc::shutdown(shut.as_raw_fd(), libc::SHUT_RD);
            },
        );
        assert_eq!(received, [0, 0]);
    });
}

#[test]
fn a_wait_for_one_thing_is_not_woken_again_and_again_by_another() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (one, mut other) = tcp_pair();
        other.write_all(b"data").unwrap();
        let fd = one.as_raw_fd();
        let poll = move |events, timeout| {
            let mut one = libc::pollfd {
                fd,
                events,
                revents: 0,
            };
            // SAFETY: the pointer is valid.
            let found = unsafe { libc::poll(&raw mut one, 1, timeout) };
            (found, one.revents)
        };
        // There is data, and nothing else.
        for events in [0, libc::POLLPRI, libc::POLLRDHUP] {
            let before = cpu_time();
            assert_eq!(poll(events, 300), (0, 0));
            assert!(
                cpu_time() - before < Duration::from_millis(150),
                "the wait is busy"
            );
        }
        let end = while_ticking(1, move |_| poll(libc::POLLRDHUP, -1), move || drop(other));
        assert_eq!(end, [(1, libc::POLLRDHUP)]);
        // Only urgent data.
        let (mut one, other) = tcp_pair();
        one.set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        // SAFETY: the text is readable.
        let sent = unsafe { libc::send(other.as_raw_fd(), c"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        let before = cpu_time();
        let error = one.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(
            cpu_time() - before < Duration::from_millis(150),
            "the wait is busy"
        );
    });
}

/// Returns how long this OS thread has computed.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn data_that_is_sent_with_the_connection_arrives() {
    if !is_patched() {
        return;
    }
    within(|| {
        const MUCH: usize = 1 << 20;
        let (_, sent) = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            // SAFETY: the pointers are valid, and the descriptor is the socket's.
            let client = evy::spawn(move || unsafe {
                let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
                let to = libc::sockaddr_in {
                    sin_family: libc::AF_INET as u16,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes([127, 0, 0, 1]),
                    },
                    sin_zero: [0; 8],
                };
                let data = vec![7_u8; MUCH];
                let (to, len) = ((&raw const to).cast(), size_of_val(&to) as u32);
                let flags = libc::MSG_FASTOPEN;
                let sent = libc::sendto(socket, data.as_ptr().cast(), MUCH, flags, to, len);
                let sent = outcome(sent as i64);
                libc::close(socket);
                sent
            });
            let (mut server, _) = listener.accept().unwrap();
            let mut found = Vec::new();
            server.read_to_end(&mut found).unwrap();
            assert_eq!(found.len(), MUCH);
            (server, client.join().unwrap())
        };
        assert_eq!(sent, (MUCH as i64, None));
    });
}

#[test]
fn a_datagram_waits_for_room_at_its_receiver() {
    if !is_patched() {
        return;
    }
    within(|| {
        let mut path = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        path.push(format!("datagrams-{}", std::process::id()));
        let receiver = UnixDatagram::bind(&path).unwrap();
        // The sender is not connected, so nothing shows there that the receiver has room.
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        while sender.send_to(b"x", &path).is_ok() {}
        sender.set_nonblocking(false).unwrap();
        let (sender, to) = (Arc::new(sender), path.clone());
        let before = cpu_time();
        let release = || {
            evy::sleep(Duration::from_millis(200));
            assert!(
                cpu_time() - before < Duration::from_millis(150),
                "the wait is busy"
            );
            receiver.recv(&mut [0]).unwrap();
        };
        let sent = while_ticking(1, move |_| sender.send_to(b"y", &to).unwrap(), release);
        assert_eq!(sent, [1]);
        std::fs::remove_file(path).unwrap();
    });
}
