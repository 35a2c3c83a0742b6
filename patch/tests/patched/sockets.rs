//! Sockets of std.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::thread::sleep;
use std::time::Duration;

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

const SHORT: Duration = Duration::from_millis(20);

/// Serves `count` connections, each on a green thread: it answers each byte after a while.
fn serve_slowly(listener: TcpListener, count: usize) -> evy::thread::JoinHandle<()> {
    evy::spawn(move || {
        for stream in listener.incoming().take(count) {
            let mut stream = stream.unwrap();
            evy::spawn_n(move || {
                let mut byte = [0];
                while stream.read(&mut byte).unwrap() == 1 {
                    sleep(SHORT);
                    stream.write_all(&byte).unwrap();
                }
            });
        }
    })
}

#[test]
fn tcp_servers_and_clients_of_std_share_an_os_thread() {
    if !is_patched() {
        return;
    }
    within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve_slowly(listener, 50);
        let clients: Vec<_> = (0..50_u8)
            .map(|n| {
                evy::spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.write_all(&[n]).unwrap();
                    let mut answer = [0];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, [n]);
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        server.join().unwrap();
    });
}

#[test]
fn timeouts_of_std_sockets_are_kept() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        a.set_read_timeout(Some(SHORT)).unwrap();
        let error = a.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        b.set_write_timeout(Some(SHORT)).unwrap();
        let error = b.write_all(&vec![0; 1 << 22]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let refused = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_large_write_is_written_in_full_and_stays_blocking() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let reader = evy::spawn(move || {
            let mut total = Vec::new();
            b.read_to_end(&mut total).unwrap();
            total.len()
        });
        assert_eq!(a.write(&vec![7; 4 << 20]).unwrap(), 4 << 20);
        // SAFETY: the descriptor is open.
        let flags = unsafe { libc::fcntl(a.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
        drop(a);
        assert_eq!(reader.join().unwrap(), 4 << 20);
    });
}

#[test]
fn datagrams_pipes_and_unix_listeners_park() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (a, b) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let to = a.local_addr().unwrap();
        let receiver = evy::spawn(move || a.recv_from(&mut [0; 8]).unwrap().0);
        let (mut read, mut write) = std::io::pipe().unwrap();
        let piped = evy::spawn(move || {
            let mut text = String::new();
            read.read_to_string(&mut text).unwrap();
            text
        });
        let folder = std::env::temp_dir().join(format!("evy-patch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let accepted = evy::spawn(move || listener.accept().unwrap());
        evy::sleep(SHORT);
        b.send_to(b"four", to).unwrap();
        write.write_all(&vec![b'x'; 300_000]).unwrap();
        drop(write);
        drop(UnixStream::connect(&path).unwrap());
        assert_eq!(receiver.join().unwrap(), 4);
        assert_eq!(piped.join().unwrap().len(), 300_000);
        drop(accepted.join().unwrap());
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn poll_select_and_epoll_park() {
    if !is_patched() {
        return;
    }
    within(|| {
        let waits: [fn(i32) -> i32; 3] = [
            |fd| {
                let mut one = libc::pollfd {
                    fd,
                    events: libc::POLLIN,
                    revents: 0,
                };
                // SAFETY: the pointer is valid.
                unsafe { libc::poll(&raw mut one, 1, 10_000) }
            },
            // SAFETY: the set is initialized, and the other pointers may be null.
            |fd| unsafe {
                let mut set: libc::fd_set = std::mem::zeroed();
                libc::FD_SET(fd, &raw mut set);
                let (none, forever) = (std::ptr::null_mut(), std::ptr::null_mut());
                let ready = libc::select(fd + 1, &raw mut set, none, none, forever);
                assert!(libc::FD_ISSET(fd, &raw const set));
                ready
            },
            // SAFETY: the pointers are valid.
            |fd| unsafe {
                let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
                let mut event = libc::epoll_event {
                    events: libc::EPOLLIN as u32,
                    u64: 7,
                };
                assert_eq!(
                    libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event),
                    0
                );
                let ready = libc::epoll_wait(epoll, &raw mut event, 1, -1);
                libc::close(epoll);
                ready
            },
        ];
        for wait in waits {
            let (mut a, b) = UnixStream::pair().unwrap();
            let waiter = evy::spawn(move || wait(b.as_raw_fd()));
            evy::sleep(SHORT);
            assert!(!waiter.is_finished());
            a.write_all(b"x").unwrap();
            assert_eq!(waiter.join().unwrap(), 1);
        }
        // SAFETY: no descriptors.
        assert_eq!(unsafe { libc::poll(std::ptr::null_mut(), 0, 20) }, 0);
    });
}

#[test]
fn schedulers_that_share_a_listener_do_not_see_each_other() {
    if !is_patched() {
        return;
    }
    const EACH: usize = 200;
    within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let others: Vec<_> = (0..3)
            .map(|_| {
                let listener = listener.try_clone().unwrap();
                std::thread::spawn(move || {
                    let accept = move || listener.accept().unwrap().0.write_all(b"x").unwrap();
                    let run = move || (0..EACH).for_each(|_| accept());
                    evy::spawn(run).join().unwrap();
                })
            })
            .collect();
        for _ in 0..3 * EACH {
            // Waits for its turn, because a full backlog loses connections.
            let mut client = TcpStream::connect(address).unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        // SAFETY: the descriptor is open.
        let flags = unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
    });
}

#[test]
fn a_receive_that_waits_for_all_gets_all() {
    if !is_patched() {
        return;
    }
    fn receive(fd: i32, with_message: bool) -> (i64, [u8; 6]) {
        let mut buffer = [0; 6];
        let (first, second) = buffer.split_at_mut(2);
        let mut parts = [first, second].map(|part| libc::iovec {
            iov_base: part.as_mut_ptr().cast(),
            iov_len: part.len(),
        });
        let flags = libc::MSG_WAITALL;
        // SAFETY: the pointers are valid.
        let result = unsafe {
            if with_message {
                let mut message: libc::msghdr = std::mem::zeroed();
                message.msg_iov = parts.as_mut_ptr();
                message.msg_iovlen = 2;
                libc::recvmsg(fd, &raw mut message, flags)
            } else {
                libc::recv(fd, parts[0].iov_base, 6, flags)
            }
        };
        (result as i64, buffer)
    }
    within(|| {
        for with_message in [false, true] {
            let (mut a, b) = UnixStream::pair().unwrap();
            let receiver = evy::spawn(move || receive(b.as_raw_fd(), with_message));
            for part in [&b"a"[..], b"bcd", b"ef"] {
                evy::sleep(Duration::from_millis(2));
                assert!(!receiver.is_finished());
                a.write_all(part).unwrap();
            }
            assert_eq!(receiver.join().unwrap(), (6, *b"abcdef"));
        }
    });
}

#[test]
fn messages_with_parts_and_many_messages_park() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let data: &'static [u8] = vec![7; 3 << 20].leak();
        let sender = evy::spawn(move || {
            let mut parts: Vec<libc::iovec> = data
                .chunks(1 << 20)
                .map(|part| libc::iovec {
                    iov_base: part.as_ptr().cast_mut().cast(),
                    iov_len: part.len(),
                })
                .collect();
            // SAFETY: the pointers are valid.
            let sent = unsafe {
                let mut message: libc::msghdr = std::mem::zeroed();
                message.msg_iov = parts.as_mut_ptr();
                message.msg_iovlen = parts.len();
                libc::sendmsg(a.as_raw_fd(), &raw const message, 0)
            };
            a.write_all(b"!").unwrap();
            sent
        });
        let mut received = Vec::new();
        b.read_to_end(&mut received).unwrap();
        assert_eq!(sender.join().unwrap(), 3 << 20);
        assert_eq!(received.len(), (3 << 20) + 1);

        let (a, b) = UnixDatagram::pair().unwrap();
        let fd = b.as_raw_fd();
        let receive = move |_| {
            let mut buffers = [[0_u8; 4]; 2];
            let mut parts = buffers.each_mut().map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: 4,
            });
            // SAFETY: the pointers are valid.
            unsafe {
                let mut messages: [libc::mmsghdr; 2] = std::mem::zeroed();
                for (message, part) in messages.iter_mut().zip(&mut parts) {
                    message.msg_hdr.msg_iov = part;
                    message.msg_hdr.msg_iovlen = 1;
                }
                let none = std::ptr::null_mut();
                let count = libc::recvmmsg(fd, messages.as_mut_ptr(), 2, 0, none);
                (count, messages.map(|message| message.msg_len))
            }
        };
        let release = move || {
            a.send(b"abc").unwrap();
            evy::sleep(Duration::from_millis(2));
            a.send(b"d").unwrap();
        };
        assert_eq!(while_ticking(1, receive, release), [(2, [3, 1])]);
        drop(b);
    });
}

#[test]
fn calls_that_never_block_do_not_park() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let (pair, _other) = UnixStream::pair().unwrap();
            pair.set_nonblocking(true).unwrap();
            let mut byte = 0_u8;
            let byte = (&raw mut byte).cast();
            // SAFETY: the buffer is valid.
            unsafe {
                [
                    outcome(libc::recv(socket.as_raw_fd(), byte, 1, libc::MSG_ERRQUEUE) as i64),
                    outcome(libc::recv(socket.as_raw_fd(), byte, 1, libc::MSG_DONTWAIT) as i64),
                    outcome(libc::recv(pair.as_raw_fd(), byte, 1, 0) as i64),
                    outcome(libc::read(pair.as_raw_fd(), byte, 1) as i64),
                    outcome(libc::recv(1_000_000, byte, 1, 0) as i64),
                    outcome(libc::recv(0, byte, 1, 0) as i64),
                ]
            }
        });
    });
}

#[test]
fn a_connection_that_was_begun_is_waited_for() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            // SAFETY: the pointers are valid.
            unsafe {
                let stream = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
                let fd = libc::socket(libc::AF_INET, stream, 0);
                let mut address: libc::sockaddr_in = std::mem::zeroed();
                address.sin_family = libc::AF_INET as u16;
                address.sin_port = port.to_be();
                address.sin_addr.s_addr = u32::from(std::net::Ipv4Addr::LOCALHOST).to_be();
                let len = size_of::<libc::sockaddr_in>() as u32;
                let connect = || libc::connect(fd, (&raw const address).cast(), len);
                let begun = outcome(connect());
                libc::fcntl(fd, libc::F_SETFL, 0);
                let done = outcome(connect());
                let again = outcome(connect());
                libc::close(fd);
                (begun, done, again)
            }
        });
    });
}

#[test]
fn a_unix_socket_waits_for_room_in_the_backlog() {
    if !is_patched() {
        return;
    }
    within(|| {
        let path = std::env::temp_dir().join(format!("evy-patch-full-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let first = UnixStream::connect(&path).unwrap();
        let each = path.clone();
        let connect = move |_| UnixStream::connect(&each).map(drop).unwrap();
        while_ticking(2, connect, || {
            for _ in 0..3 {
                drop(listener.accept().unwrap());
                evy::sleep(Duration::from_millis(5));
            }
        });
        drop(first);
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn the_checked_variants_park_too() {
    if !is_patched() {
        return;
    }
    unsafe extern "C" {
        fn __read_chk(fd: i32, buffer: *mut u8, len: usize, size: usize) -> isize;
        fn __recv_chk(fd: i32, buffer: *mut u8, len: usize, size: usize, flags: i32) -> isize;
        fn __recvfrom_chk(
            fd: i32,
            buffer: *mut u8,
            len: usize,
            size: usize,
            flags: i32,
            address: *mut libc::sockaddr,
            address_len: *mut u32,
        ) -> isize;
        fn __poll_chk(fds: *mut libc::pollfd, count: u64, timeout: i32, size: usize) -> i32;
    }
    within(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let fd = b.as_raw_fd();
        let none = std::ptr::null_mut;
        let call = move |n| {
            let mut byte = 0;
            let mut one = libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: the pointers are valid or null.
            unsafe {
                match n {
                    0 => __read_chk(fd, &raw mut byte, 1, 1),
                    1 => __recv_chk(fd, &raw mut byte, 1, 1, 0),
                    2 => __recvfrom_chk(fd, &raw mut byte, 1, 1, 0, none(), none().cast()),
                    _ => __poll_chk(&raw mut one, 1, -1, size_of::<libc::pollfd>()) as isize,
                }
            }
        };
        assert_eq!(
            while_ticking(4, call, move || a.write_all(b"abcd").unwrap()),
            [1; 4]
        );
        drop(b);
    });
}

#[test]
fn the_timeout_of_a_socket_holds_for_the_whole_call() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (a, mut b) = UnixStream::pair().unwrap();
        a.set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let receiver = evy::spawn(move || {
            let mut buffer = [0; 1000];
            let started = std::time::Instant::now();
            let (buffer, flags) = (buffer.as_mut_ptr().cast(), libc::MSG_WAITALL);
            // SAFETY: the buffer is valid.
            let received = unsafe { libc::recv(a.as_raw_fd(), buffer, 1000, flags) };
            (received, started.elapsed())
        });
        // Each byte comes long before the timeout.
        while !receiver.is_finished() {
            evy::sleep(Duration::from_millis(20));
            let _ended = b.write(b"x");
        }
        let (received, took) = receiver.join().unwrap();
        assert!((1..1000).contains(&received), "{received}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    });
}
