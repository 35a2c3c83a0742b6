//! UDP sockets: they behave like std's, but cooperatively, with any number of receivers.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use evy_net::UdpSocket;
use evy_runtime::thread::JoinHandle;
use evy_runtime::{spawn, timeout, yield_now};
use evy_test_support::within;

use crate::peer::Peer;

const SHORT: Duration = Duration::from_millis(10);
const LOCAL: &str = "127.0.0.1:0";

/// Returns two sockets that are connected to each other.
fn pair() -> (UdpSocket, UdpSocket) {
    let (a, b) = (bound(), bound());
    a.connect(b.local_addr().unwrap()).unwrap();
    b.connect(a.local_addr().unwrap()).unwrap();
    (a, b)
}

fn bound() -> UdpSocket {
    UdpSocket::bind(LOCAL).unwrap()
}

/// Spawns a green thread that receives one datagram of one byte.
fn receiver(socket: &Rc<UdpSocket>) -> JoinHandle<std::io::Result<u8>> {
    let socket = Rc::clone(socket);
    spawn(move || {
        let mut byte = [0];
        socket.recv(&mut byte).map(|_| byte[0])
    })
}

#[test]
fn a_datagram_reaches_its_receiver_with_the_address_of_its_sender() {
    within(|| {
        let (server, client) = (bound(), bound());
        let addr = server.local_addr().unwrap();
        let echo = spawn(move || {
            let mut buf = [0; 100];
            let (len, from) = server.recv_from(&mut buf).unwrap();
            server.send_to(&buf[..len], from).unwrap();
            from
        });
        assert_eq!(client.send_to(b"hello", addr).unwrap(), 5);
        let mut buf = [0; 100];
        assert_eq!(client.recv_from(&mut buf).unwrap(), (5, addr));
        assert_eq!(&buf[..5], b"hello");
        assert_eq!(echo.join().unwrap(), client.local_addr().unwrap());
    });
}

#[test]
fn other_green_threads_run_while_a_receiver_is_parked() {
    within(|| {
        let (a, b) = pair();
        let a = Rc::new(a);
        let receiving = receiver(&a);
        for _ in 0..10 {
            yield_now();
        }
        assert!(!receiving.is_finished());
        b.send(b"x").unwrap();
        assert_eq!(receiving.join().unwrap().unwrap(), b'x');
    });
}

#[test]
fn what_the_buffer_has_no_room_for_is_cut_off() {
    within(|| {
        let (a, b) = pair();
        let from = b.local_addr().unwrap();
        let mut buf = [0; 4];
        for _ in 0..4 {
            b.send(b"0123456789").unwrap();
        }
        b.send(b"next").unwrap();
        assert_eq!(a.peek(&mut buf).unwrap(), 4);
        assert_eq!(a.peek_from(&mut buf).unwrap(), (4, from));
        assert_eq!(a.recv(&mut buf).unwrap(), 4);
        assert_eq!(&buf, b"0123");
        assert_eq!(a.recv_from(&mut buf).unwrap(), (4, from));
        assert_eq!(&buf, b"0123");
        // An empty buffer takes a datagram too.
        assert_eq!(a.recv(&mut []).unwrap(), 0);
        assert_eq!(a.recv_from(&mut []).unwrap(), (0, from));
        assert_eq!(a.recv(&mut buf).unwrap(), 4);
        assert_eq!(&buf, b"next");
    });
}

#[test]
fn an_empty_datagram_is_received_and_is_not_the_end() {
    within(|| {
        let (a, b) = pair();
        let to = a.local_addr().unwrap();
        // The receiver waits for the first one.
        let receiving = spawn(move || {
            let mut buf = [0; 4];
            let first = a.recv(&mut buf).unwrap();
            let second = a.recv_from(&mut buf).unwrap().0;
            (first, second, a.recv(&mut buf).unwrap())
        });
        yield_now();
        assert_eq!(b.send(&[]).unwrap(), 0);
        assert_eq!(b.send_to(&[], to).unwrap(), 0);
        b.send(b"abc").unwrap();
        assert_eq!(receiving.join().unwrap(), (0, 0, 3));
    });
}

#[test]
fn receivers_get_one_datagram_each_in_the_order_in_which_they_wait() {
    within(|| {
        let (a, b) = pair();
        let a = Rc::new(a);
        let receivers = [(); 3].map(|()| receiver(&a));
        yield_now();
        for byte in [b"1", b"2", b"3"] {
            b.send(byte).unwrap();
        }
        let received = receivers.map(|receiver| receiver.join().unwrap().unwrap());
        assert_eq!(&received, b"123");
    });
}

#[test]
fn receivers_that_receive_again_and_again_take_turns() {
    const ROUNDS: u8 = 10;
    within(|| {
        let (a, b) = pair();
        let a = Rc::new(a);
        let order = Rc::new(RefCell::new(Vec::new()));
        let receivers = [0, 1, 2].map(|number| {
            let (a, order) = (Rc::clone(&a), Rc::clone(&order));
            spawn(move || {
                for _ in 0..ROUNDS {
                    a.recv(&mut [0]).unwrap();
                    order.borrow_mut().push(number);
                }
            })
        });
        yield_now();
        for byte in 0..ROUNDS * 3 {
            b.send(&[byte]).unwrap();
        }
        for receiver in receivers {
            receiver.join().unwrap();
        }
        let order = order.borrow();
        assert!(order.chunks(3).all(|turn| turn == [0, 1, 2]), "{order:?}");
    });
}

#[test]
fn a_refusal_reaches_one_receiver_and_the_others_go_on_waiting() {
    within(|| {
        let (a, b) = pair();
        let peer = b.local_addr().unwrap();
        drop(b);
        let a = Rc::new(a);
        let receivers = [(); 3].map(|()| receiver(&a));
        yield_now();
        a.send(b"is anyone there?").unwrap();
        let [first, second, third] = receivers;
        let error = first.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let b = UdpSocket::bind(peer).unwrap();
        b.connect(a.local_addr().unwrap()).unwrap();
        assert!(!second.is_finished() && !third.is_finished());
        b.send(b"2").unwrap();
        b.send(b"3").unwrap();
        assert_eq!(second.join().unwrap().unwrap(), b'2');
        assert_eq!(third.join().unwrap().unwrap(), b'3');
    });
}

#[test]
fn a_receiver_that_is_killed_or_times_out_takes_nothing_from_the_others() {
    within(|| {
        let (a, b) = pair();
        let a = Rc::new(a);
        let killed = receiver(&a);
        let expiring = Rc::clone(&a);
        let expired = spawn(move || timeout(SHORT, || expiring.recv(&mut [0])).is_err());
        let last = receiver(&a);
        yield_now();
        killed.kill();
        assert!(killed.join().unwrap_err().is_killed());
        assert!(expired.join().unwrap());
        b.send(b"x").unwrap();
        assert_eq!(last.join().unwrap().unwrap(), b'x');
    });
}

#[test]
fn a_receiver_that_is_killed_after_it_was_notified_notifies_the_next() {
    within(|| {
        let (a, b) = pair();
        let (c, d) = pair();
        let a = Rc::new(a);
        // The killer is woken just before `victim`.
        let victim = Rc::new(RefCell::new(None));
        let doomed = Rc::clone(&victim);
        let killer = spawn(move || {
            c.recv(&mut [0]).unwrap();
            let victim: JoinHandle<std::io::Result<u8>> = doomed.take().unwrap();
            victim.kill();
        });
        *victim.borrow_mut() = Some(receiver(&a));
        let next = receiver(&a);
        yield_now();
        d.send(b"k").unwrap();
        b.send(b"x").unwrap();
        killer.join().unwrap();
        assert_eq!(next.join().unwrap().unwrap(), b'x');
    });
}

#[test]
fn timeouts_and_the_non_blocking_mode_apply_to_all_handles() {
    within(|| {
        let (a, b) = pair();
        let clone = a.try_clone().unwrap();
        a.set_read_timeout(Some(SHORT)).unwrap();
        a.set_write_timeout(Some(SHORT)).unwrap();
        assert_eq!(clone.read_timeout().unwrap(), Some(SHORT));
        assert_eq!(clone.write_timeout().unwrap(), Some(SHORT));
        let mut buf = [0; 4];
        for outcome in [
            clone.recv(&mut buf),
            clone.peek(&mut buf),
            clone.recv_from(&mut buf).map(|(len, _)| len),
            clone.peek_from(&mut buf).map(|(len, _)| len),
        ] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
        }
        clone.set_nonblocking(true).unwrap();
        let error = a.recv(&mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        a.set_nonblocking(false).unwrap();
        a.set_read_timeout(None).unwrap();
        b.send(b"late").unwrap();
        assert_eq!(a.recv(&mut buf).unwrap(), 4);
        let zero = Some(Duration::ZERO);
        for refused in [a.set_read_timeout(zero), a.set_write_timeout(zero)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn a_receiver_that_never_parks_does_not_starve_other_green_threads() {
    within(|| {
        let (a, b) = pair();
        let other = spawn(|| (0..10).for_each(|_| yield_now()));
        while !other.is_finished() {
            b.send(b"x").unwrap();
            a.recv(&mut [0]).unwrap();
        }
        let other = spawn(|| (0..10).for_each(|_| yield_now()));
        while !other.is_finished() {
            a.send_to(b"x", "no port").unwrap_err();
        }
    });
}

#[test]
fn any_number_of_green_threads_may_send() {
    within(|| {
        let (a, b) = pair();
        let b = Rc::new(b);
        let senders = [1, 2, 3].map(|byte| {
            let b = Rc::clone(&b);
            spawn(move || (0..10).for_each(|_| assert_eq!(b.send(&[byte]).unwrap(), 1)))
        });
        let mut counts = [0; 4];
        for _ in 0..30 {
            let mut byte = [0];
            a.recv(&mut byte).unwrap();
            counts[usize::from(byte[0])] += 1;
        }
        assert_eq!(counts, [0, 10, 10, 10]);
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn receivers_on_two_os_threads_get_one_datagram_each() {
    within(|| {
        let (a, b) = pair();
        let clone = a.try_clone().unwrap();
        let other = std::thread::spawn(move || clone.recv(&mut [0]).unwrap());
        let own = spawn(move || a.recv(&mut [0]).unwrap());
        let mut sent = 0;
        while !(own.is_finished() && other.is_finished()) {
            // One OS thread may take more than one event for a single datagram.
            if sent < 2 {
                b.send(b"x").unwrap();
                sent += 1;
            }
            yield_now();
        }
        assert_eq!(own.join().unwrap() + other.join().unwrap(), 2);
    });
}

#[test]
fn an_address_may_be_a_list_or_a_name() {
    within(|| {
        let a = bound();
        let to = a.local_addr().unwrap();
        let b = UdpSocket::bind(
            &[
                "192.0.2.1:1".parse().unwrap(),
                SocketAddr::from(([127, 0, 0, 1], 0)),
            ][..],
        );
        let b = b.unwrap();
        let other = bound().local_addr().unwrap();
        // The first address counts, as in std.
        b.send_to(b"x", &[to, other][..]).unwrap();
        b.send_to(b"y", ("localhost", to.port())).ok();
        a.recv(&mut [0]).unwrap();
        let none: &[SocketAddr] = &[];
        let outcomes = [
            b.send_to(b"x", none).map(drop),
            b.connect(none),
            UdpSocket::bind(none).map(drop),
        ];
        for outcome in outcomes {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(
            b.send(b"x").unwrap_err().raw_os_error(),
            Some(libc::EDESTADDRREQ)
        );
    });
}

#[test]
fn options_are_kept() {
    within(|| {
        let socket = bound();
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(7).unwrap();
        assert_eq!(socket.ttl().unwrap(), 7);
        socket.set_multicast_ttl_v4(8).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 8);
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        assert!(socket.take_error().unwrap().is_none());
        assert_eq!(
            socket.peer_addr().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        // A system may lack IPv6.
        if let Ok(socket) = UdpSocket::bind("[::1]:0") {
            socket.set_multicast_loop_v6(false).unwrap();
            assert!(!socket.multicast_loop_v6().unwrap());
            let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x7777);
            if socket.join_multicast_v6(&group, 1).is_ok() {
                socket.leave_multicast_v6(&group, 1).unwrap();
            }
        }
    });
}

#[test]
fn a_member_of_a_multicast_group_receives_what_is_sent_to_it() {
    within(|| {
        let group = Ipv4Addr::new(224, 0, 0, 251);
        let member = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = member.local_addr().unwrap().port();
        member
            .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
            .unwrap();
        let sender = bound();
        let interface = socket2::SockRef::from(&sender);
        let interface = interface.set_multicast_if_v4(&Ipv4Addr::LOCALHOST);
        interface.unwrap();
        sender.send_to(b"all", (group, port)).unwrap();
        let mut buf = [0; 10];
        assert_eq!(member.recv(&mut buf).unwrap(), 3);
        member
            .leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
            .unwrap();
        assert!(
            member
                .leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
                .is_err()
        );
    });
}

#[test]
fn a_python_program_answers() {
    const ECHO: &str = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 0))
print(s.getsockname()[1], flush=True)
while True:
    data, addr = s.recvfrom(2048)
    s.sendto(data.upper(), addr)
";
    within(|| {
        let Some(mut python) = Peer::start("python3", &["-c", ECHO]) else {
            return;
        };
        let port: u16 = python.line().parse().unwrap();
        let socket = bound();
        socket.connect(("127.0.0.1", port)).unwrap();
        for text in ["one", "", "three"] {
            socket.send(text.as_bytes()).unwrap();
            let mut buf = [0; 100];
            let len = socket.recv(&mut buf).unwrap();
            assert_eq!(&buf[..len], text.to_uppercase().as_bytes());
        }
    });
}

#[test]
fn socat_and_nc_send_datagrams() {
    use std::io::Write;
    within(|| {
        let socket = bound();
        let addr = socket.local_addr().unwrap();
        let port = addr.port().to_string();
        let target = format!("UDP4-SENDTO:{addr}");
        let programs: [(&str, &[&str]); 2] = [
            ("socat", &["-u", "STDIN", &target]),
            ("nc", &["-u", "-w1", "127.0.0.1", &port]),
        ];
        for (name, arguments) in programs {
            let Some(mut peer) = Peer::start(name, arguments) else {
                continue;
            };
            peer.0.stdin.take().unwrap().write_all(b"outside").unwrap();
            let mut buf = [0; 100];
            let len = socket.recv(&mut buf).unwrap();
            assert_eq!(&buf[..len], b"outside", "{name}");
        }
    });
}
