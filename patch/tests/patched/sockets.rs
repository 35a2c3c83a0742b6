//! Sockets of std.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::sleep;
use std::time::Duration;

use evy_test_support::within;

use crate::is_patched;

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
        let flags = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&a), libc::F_GETFL) };
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
        use std::os::fd::AsRawFd;
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
