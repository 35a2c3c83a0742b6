//! Connecting to several addresses: the attempts overlap, and the first success counts.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use evy_net::{TcpStream, connect, connect_timeout, listen};
use evy_runtime::{sleep, spawn, timeout, yield_now};
use evy_test_support::{rerun_ignored, within};

const SHORT: Duration = Duration::from_millis(10);

/// Returns an address at which no socket listens.
fn refusing() -> SocketAddr {
    listen("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A listener with a full queue, which answers no attempt to connect.
struct Silent {
    listener: TcpListener,
    _held: Vec<TcpStream>,
}

impl Silent {
    fn new() -> Self {
        let socket = socket2::Socket::from(TcpListener::bind("127.0.0.1:0").unwrap());
        socket.listen(0).unwrap();
        let listener = TcpListener::from(socket);
        let addr = listener.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(stream) = connect_timeout(addr, SHORT * 5) {
            held.push(stream);
            assert!(held.len() < 100, "the queue never fills");
        }
        Self {
            listener,
            _held: held,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

#[test]
fn the_next_address_is_tried_while_the_last_one_does_not_answer() {
    within(|| {
        let (silent, good) = (Silent::new(), listen("127.0.0.1:0").unwrap());
        let addrs = [silent.addr(), good.local_addr().unwrap()];
        let start = Instant::now();
        let stream = connect(&addrs[..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addrs[1]);
        let took = start.elapsed().as_millis();
        assert!((250..1000).contains(&took), "{took} ms");
    });
}

#[test]
fn the_next_address_is_tried_at_once_if_one_refuses() {
    within(|| {
        let good = listen("127.0.0.1:0").unwrap();
        let addrs = [refusing(), refusing(), good.local_addr().unwrap()];
        let start = Instant::now();
        let stream = connect_timeout(&addrs[..], Duration::from_secs(10)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addrs[2]);
        assert!(start.elapsed() < Duration::from_millis(200));
    });
}

#[test]
fn an_attempt_that_answers_late_is_not_given_up() {
    within(|| {
        let (late, silent) = (Silent::new(), Silent::new());
        let addrs = [late.addr(), silent.addr()];
        let connecting = spawn(move || connect(&addrs[..]));
        sleep(Duration::from_millis(600));
        late.listener.accept().unwrap();
        let stream = connecting.join().unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addrs[0]);
    });
}

#[test]
fn families_alternate_beginning_with_the_first() {
    within(|| {
        // If the IPv6 address is tried second, its failure is the first.
        let silent = [Silent::new(), Silent::new()];
        let refused: SocketAddr = "[::1]:1".parse().unwrap();
        let addrs = [silent[0].addr(), silent[1].addr(), refused];
        let error = connect_timeout(&addrs[..], Duration::from_millis(300)).unwrap_err();
        let text = error.to_string();
        let at = |addr: SocketAddr| text.find(&addr.to_string());
        assert!(at(refused).unwrap() < at(addrs[0]).unwrap(), "{text}");
    });
}

#[test]
fn the_error_for_one_address_is_that_of_the_system() {
    within(|| {
        let error = connect(refusing()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
        assert_eq!(error.to_string(), "Connection refused (os error 111)");
    });
}

#[test]
fn the_error_for_several_addresses_names_each_and_has_the_last_kind() {
    within(|| {
        let (refusing, silent) = ([refusing(), refusing()], Silent::new());
        let error = connect(&refusing[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        for addr in refusing {
            let expected = format!("{addr}: Connection refused");
            assert!(error.to_string().contains(&expected), "{error}");
        }
        let addrs = [silent.addr(), refusing[0]];
        let error = connect_timeout(&addrs[..], Duration::from_millis(350)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        for addr in addrs {
            assert!(error.to_string().contains(&addr.to_string()), "{error}");
        }
        let none: &[SocketAddr] = &[];
        assert_eq!(connect(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn connects_that_are_refused_do_not_starve_other_green_threads() {
    within(|| {
        let addrs = [refusing(), refusing()];
        let other = spawn(|| (0..100).for_each(|_| yield_now()));
        while !other.is_finished() {
            connect(&addrs[..]).unwrap_err();
        }
    });
}

#[test]
fn operations_that_fail_before_they_begin_do_not_starve_other_green_threads() {
    let unlucky: [fn(); 4] = [
        || drop(connect("no port").unwrap_err()),
        || drop(connect(&[][..]).unwrap_err()),
        || drop(listen("127.0.0.1:no").unwrap_err()),
        || drop(connect_timeout("no port", SHORT).unwrap_err()),
    ];
    for repeated in unlucky {
        within(move || {
            let other = spawn(|| (0..100).for_each(|_| yield_now()));
            while !other.is_finished() {
                repeated();
            }
        });
    }
}

// The descriptors are counted, so no other test may run in the process.
#[test]
fn a_connect_that_is_ended_leaves_no_socket_and_no_green_thread() {
    let output = rerun_ignored("connect::a_child_ends_connects_and_counts_descriptors")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[test]
#[ignore = "is the child of `a_connect_that_is_ended_leaves_no_socket_and_no_green_thread`"]
fn a_child_ends_connects_and_counts_descriptors() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (first, second) = (Silent::new(), Silent::new());
    let addrs = [first.addr(), second.addr()];
    sleep(SHORT);
    let before = count();
    // By then both attempts are under way.
    let while_connecting = Duration::from_millis(300);
    assert!(timeout(while_connecting, || connect(&addrs[..])).is_err());
    assert_eq!(count(), before);
    assert!(connect_timeout(&addrs[..], while_connecting).is_err());
    assert_eq!(count(), before);
    let connecting = spawn(move || connect(&addrs[..]));
    sleep(while_connecting);
    assert!(count() > before + 1);
    connecting.kill();
    assert_eq!(count(), before);
    assert_eq!(evy_runtime::shutdown(Duration::ZERO), 0);
}
