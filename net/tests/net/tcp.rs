//! TCP sockets: they behave like std's, but cooperatively, also if the peer misbehaves.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "the peer uses std's sockets and clock"
)]

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_net::{Shutdown, TcpListener, TcpStream, connect, connect_timeout, listen};
use evy_runtime::io::{Direction, Green, Sharing, Timeout};
use evy_runtime::{sleep, spawn, spawn_n, timeout, yield_now};
use evy_test_support::rerun_ignored;
use evy_test_support::within;

const SHORT: Duration = Duration::from_millis(10);

/// Returns the two ends of one connection.
fn pair() -> (TcpStream, TcpStream) {
    let server = listen("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    let client = spawn(move || connect(addr).unwrap());
    let (accepted, _) = server.accept().unwrap();
    (client.join().unwrap(), accepted)
}

/// Returns an address at which no socket listens.
fn unused_addr() -> std::net::SocketAddr {
    listen("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Returns a listener with a full queue, so that it accepts no further connection. The returned
/// streams keep the queue full.
fn full_listener() -> (socket2::Socket, Vec<TcpStream>) {
    let socket = socket2::Socket::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = connect_timeout(addr, SHORT * 5) {
        held.push(stream);
        assert!(held.len() < 100, "the queue never fills");
    }
    (socket, held)
}

#[test]
fn bytes_flow_in_both_directions() {
    within(|| {
        let (mut a, mut b) = pair();
        let echo = spawn(move || {
            let mut buf = [0; 5];
            b.read_exact(&mut buf).unwrap();
            b.write_all(&buf).unwrap();
        });
        a.write_all(b"hello").unwrap();
        let mut back = String::new();
        a.read_to_string(&mut back).unwrap();
        assert_eq!(back, "hello");
        echo.join().unwrap();
    });
}

#[test]
fn other_green_threads_run_while_a_reader_is_parked() {
    within(|| {
        let (mut a, mut b) = pair();
        let ticks = Rc::new(Cell::new(0));
        let count = Rc::clone(&ticks);
        spawn_n(move || {
            for _ in 0..10 {
                count.set(count.get() + 1);
                yield_now();
            }
            b.write_all(b"x").unwrap();
        });
        a.read_exact(&mut [0]).unwrap();
        assert_eq!(ticks.get(), 10);
    });
}

#[test]
fn an_end_of_stream_that_arrives_with_the_last_data_is_read() {
    within(|| {
        for _ in 0..50 {
            let (mut a, mut b) = pair();
            // The reader registers before the write, so that the data and the end arrive as one
            // event.
            let reader = spawn(move || {
                let mut all = Vec::new();
                a.read_to_end(&mut all).unwrap();
                all.len()
            });
            yield_now();
            b.write_all(&[7; 100]).unwrap();
            drop(b);
            assert_eq!(reader.join().unwrap(), 100);
        }
    });
}

#[test]
fn large_transfers_in_both_directions_complete() {
    within(|| {
        const SIZE: usize = 4 << 20;
        let (a, b) = pair();
        let send = |stream: TcpStream, byte: u8| {
            spawn(move || {
                (&stream).write_all(&vec![byte; SIZE]).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            })
        };
        let receive = |stream: TcpStream, byte: u8| {
            spawn(move || {
                let mut all = Vec::new();
                (&stream).read_to_end(&mut all).unwrap();
                assert!(all.len() == SIZE && all.iter().all(|b| *b == byte));
            })
        };
        let work = [
            send(a.try_clone().unwrap(), 1),
            send(b.try_clone().unwrap(), 2),
            receive(a, 2),
            receive(b, 1),
        ];
        for handle in work {
            handle.join().unwrap();
        }
    });
}

#[test]
fn a_second_reader_gets_an_error_and_the_first_is_unharmed() {
    within(|| {
        let ((a, mut b), (mut c, mut d)) = (pair(), pair());
        let a = Rc::new(a);
        let first = Rc::clone(&a);
        let reader = spawn(move || {
            let mut buf = [0; 2];
            (&*first).read_exact(&mut buf).unwrap();
            buf
        });
        yield_now();
        let error = (&*a).read(&mut [0; 2]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        // The same holds if the data have arrived, and the first reader has been woken but has not
        // run yet.
        let second = spawn(move || {
            c.read_exact(&mut [0]).unwrap();
            (&*a).read(&mut [0; 2])
        });
        yield_now();
        d.write_all(b"x").unwrap();
        b.write_all(b"ok").unwrap();
        let error = second.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert_eq!(&reader.join().unwrap(), b"ok");
    });
}

// A stream always checks that only one green thread reads. With `Sharing::Shared`, which `accept`
// uses, there is no such check, and several may wait.
#[test]
fn a_killed_reader_leaves_the_readiness_to_the_next_waiter() {
    within(|| {
        let ((a, mut b), (mut c, mut d)) = (pair(), pair());
        let shared = Rc::new(Green::new(a.into_std().unwrap()).unwrap());
        let read = || {
            let stream = Rc::clone(&shared);
            spawn(move || {
                let mut byte = [0];
                let op = |mut stream: &std::net::TcpStream| stream.read(&mut byte);
                let timeout = Timeout::Never;
                let done = stream.with_io(Direction::Read, Sharing::Shared, timeout, op, |_| false);
                assert_eq!(done.unwrap(), 1);
                byte[0]
            })
        };
        let [first, second, third, fourth] = [read(), read(), read(), read()];
        yield_now();
        second.kill();
        assert!(second.join().unwrap_err().is_killed());
        b.write_all(b"1").unwrap();
        assert_eq!(first.join().unwrap(), b'1');
        // The killer is woken just before `third`, so `third` is killed when it has been notified
        // already. Its notification must go to the next waiter.
        let killer = spawn(move || {
            c.read_exact(&mut [0]).unwrap();
            third.kill();
            third.join().unwrap_err().is_killed()
        });
        yield_now();
        d.write_all(b"k").unwrap();
        b.write_all(b"4").unwrap();
        assert!(killer.join().unwrap());
        assert_eq!(fourth.join().unwrap(), b'4');
    });
}

#[test]
fn a_killed_reader_leaves_the_stream_usable() {
    within(|| {
        let (a, mut b) = pair();
        let a = Rc::new(a);
        let first = Rc::clone(&a);
        let reader = spawn(move || (&*first).read(&mut [0; 2]));
        yield_now();
        reader.kill();
        assert!(reader.join().unwrap_err().is_killed());
        b.write_all(b"ok").unwrap();
        let mut buf = [0; 2];
        (&*a).read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"ok");
    });
}

// A timeout of zero is an error, like in std. A caller that does not want to wait uses
// `set_nonblocking`.
#[test]
fn every_socket_operation_can_time_out() {
    /// Checks that `op` times out, and not before `SHORT` has passed.
    fn times_out<T: std::fmt::Debug>(what: &str, op: impl FnOnce() -> std::io::Result<T>) {
        let start = Instant::now();
        let error = op().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{what}: {error}");
        assert!(start.elapsed() >= SHORT, "{what}: {:?}", start.elapsed());
    }
    within(|| {
        let (mut a, mut b) = pair();
        a.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(a.read_timeout().unwrap(), Some(SHORT));
        times_out("read", || a.read(&mut [0]));
        times_out("read_exact", || a.read_exact(&mut [0]));
        times_out("read_to_end", || a.read_to_end(&mut Vec::new()));
        times_out("peek", || a.peek(&mut [0]));
        let mut buf = [0];
        times_out("read_vectored", || {
            a.read_vectored(&mut [std::io::IoSliceMut::new(&mut buf)])
        });
        a.set_nonblocking(true).unwrap();
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        a.set_nonblocking(false).unwrap();
        // Back in blocking mode and without a timeout, a read waits.
        a.set_read_timeout(None).unwrap();
        let late = spawn(move || {
            sleep(SHORT * 3);
            b.write_all(b"x").unwrap();
            b
        });
        a.read_exact(&mut [0]).unwrap();
        let mut b = late.join().unwrap();

        b.set_write_timeout(Some(SHORT)).unwrap();
        times_out("write_all", || b.write_all(&vec![0; 64 << 20]));
        times_out("write", || b.write(&[0; 8192]));
        times_out("write_vectored", || {
            b.write_vectored(&[std::io::IoSlice::new(&[0; 8192])])
        });
        b.set_nonblocking(true).unwrap();
        // The kernel may have found more room meanwhile.
        let full = std::iter::repeat_with(|| b.write(&[0; 8192])).find_map(Result::err);
        assert_eq!(full.unwrap().kind(), ErrorKind::WouldBlock);
        b.set_nonblocking(false).unwrap();
        b.set_write_timeout(None).unwrap();
        let drain = spawn(move || std::io::copy(&mut a, &mut std::io::sink()).unwrap());
        b.write_all(&[0; 8192]).unwrap();
        drop(b);
        assert!(drain.join().unwrap() > 8192);

        let zero = Some(Duration::ZERO);
        let (c, _d) = pair();
        for refused in [c.set_read_timeout(zero), c.set_write_timeout(zero)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        }

        let server = listen("127.0.0.1:0").unwrap();
        times_out("accept", || timeout(SHORT, || server.accept())?);
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        server.set_nonblocking(false).unwrap();
        let addr = server.local_addr().unwrap();
        let client = spawn(move || connect(addr).unwrap());
        server.accept().unwrap();
        client.join().unwrap();

        let (full, _held) = full_listener();
        let addr = full.local_addr().unwrap().as_socket().unwrap();
        times_out("connect", || connect_timeout(addr, SHORT));
        times_out("connect", || timeout(SHORT, || connect(addr))?);
    });
}

#[test]
fn write_all_sends_everything_through_a_small_buffer() {
    within(|| {
        let (mut a, mut b) = pair();
        // Only the send buffer is small. With a receive buffer as small, the kernel would wait for
        // 200 ms again and again.
        let small = socket2::SockRef::from(&a).set_send_buffer_size(4096);
        small.unwrap();
        let sizes = [1 << 10, 10 << 10, 100 << 10, 1 << 20];
        let sender = spawn(move || {
            for size in sizes {
                let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
                a.write_all(&bytes).unwrap();
            }
        });
        for size in sizes {
            let mut bytes = vec![0; size];
            b.read_exact(&mut bytes).unwrap();
            assert!(
                (0..)
                    .zip(&bytes)
                    .all(|(n, byte)| n % 251 == i32::from(*byte)),
                "{size}"
            );
        }
        assert_eq!(b.read(&mut [0]).unwrap(), 0);
        sender.join().unwrap();
    });
}

#[test]
fn data_that_has_arrived_wins_over_an_expired_timeout() {
    within(|| {
        let (mut a, mut b) = pair();
        let reader = spawn(move || timeout(Duration::from_millis(30), || a.read_exact(&mut [0])));
        yield_now();
        b.write_all(b"x").unwrap();
        // Blocks the OS thread, so that no green thread runs until the data have arrived and the
        // deadline has passed.
        std::thread::sleep(Duration::from_millis(60));
        assert!(matches!(reader.join().unwrap(), Ok(Ok(()))));
    });
}

#[test]
fn a_timeout_interrupts_code_that_knows_only_the_read_trait() {
    fn foreign(mut reader: impl Read) -> std::io::Result<usize> {
        reader.read(&mut [0; 16])
    }
    within(|| {
        let (a, _b) = pair();
        assert!(timeout(SHORT, || foreign(&a)).is_err());
    });
}

#[test]
fn a_failed_connect_is_an_error_and_leaves_the_reactor_usable() {
    within(|| {
        assert_eq!(
            connect(unused_addr()).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        let invalid = connect("no port here").unwrap_err();
        assert_eq!(invalid.kind(), ErrorKind::InvalidInput);
        assert!(connect("host.invalid:80").is_err());
        // The reactor continues to work.
        let (mut a, mut b) = pair();
        a.write_all(b"x").unwrap();
        b.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn every_address_is_tried() {
    within(|| {
        let server = listen("127.0.0.1:0").unwrap();
        let good = server.local_addr().unwrap();
        let addrs = [unused_addr(), good];
        let stream = connect(&addrs[..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let localhost = connect(("localhost", good.port())).unwrap();
        assert_eq!(localhost.peer_addr().unwrap().port(), good.port());
    });
}

#[test]
fn a_reset_is_an_error_and_does_not_affect_other_connections() {
    within(|| {
        let (mut a, b) = pair();
        let other = pair();
        let reader = spawn(move || a.read(&mut [0]));
        yield_now();
        let socket = socket2::Socket::from(b.into_std().unwrap());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(socket);
        assert_eq!(
            reader.join().unwrap().unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        (&other.0).write_all(b"x").unwrap();
        (&other.1).read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn a_half_closed_peer_can_still_be_answered() {
    within(|| {
        let (mut a, mut b) = pair();
        a.write_all(b"question").unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        b.read_to_string(&mut question).unwrap();
        b.write_all(b"answer").unwrap();
        drop(b);
        let mut answer = String::new();
        a.read_to_string(&mut answer).unwrap();
        assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
    });
}

#[test]
fn shutdown_wakes_a_parked_reader() {
    within(|| {
        let (a, _b) = pair();
        let mut clone = a.try_clone().unwrap();
        let reader = spawn(move || clone.read(&mut [0]).unwrap());
        yield_now();
        a.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    });
}

#[test]
fn acceptors_are_served_in_fifo_order() {
    within(|| {
        let server = Rc::new(listen("127.0.0.1:0").unwrap());
        let addr = server.local_addr().unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let acceptors: Vec<_> = (0..3)
            .map(|n| {
                let (server, order) = (Rc::clone(&server), Rc::clone(&order));
                spawn(move || {
                    let accepted = server.accept().unwrap();
                    order.borrow_mut().push(n);
                    accepted
                })
            })
            .collect();
        yield_now();
        let _clients: Vec<_> = (0..3).map(|_| connect(addr).unwrap()).collect();
        for acceptor in acceptors {
            acceptor.join().unwrap();
        }
        assert_eq!(*order.borrow(), [0, 1, 2]);
    });
}

#[test]
fn an_acceptor_woken_without_a_connection_keeps_its_position() {
    within(|| {
        let server = Rc::new(listen("127.0.0.1:0").unwrap());
        let addr = server.local_addr().unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let acceptors: Vec<_> = (0..5)
            .map(|n| {
                let (server, order) = (Rc::clone(&server), Rc::clone(&order));
                spawn(move || {
                    server.accept().unwrap();
                    order.borrow_mut().push(n);
                })
            })
            .collect();
        // Each acceptor that gets a connection wakes the next one, which checks whether there is
        // another connection.
        for n in 0..5 {
            connect(addr).unwrap();
            while order.borrow().len() <= n {
                sleep(Duration::from_millis(1));
            }
        }
        for acceptor in acceptors {
            acceptor.join().unwrap();
        }
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn an_empty_read_of_any_descriptor_and_an_empty_peek_return_at_once() {
    within(|| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut reader = Green::new(reader).unwrap();
        let (a, _b) = pair();
        for _ in 0..2 {
            assert_eq!(reader.read(&mut []).unwrap(), 0);
            assert_eq!(a.peek(&mut []).unwrap(), 0);
            // From here on, both are known not to be ready.
            assert!(timeout(SHORT, || reader.read(&mut [0])).is_err());
            assert!(timeout(SHORT, || a.peek(&mut [0])).is_err());
        }
    });
}

#[test]
fn empty_reads_and_writes_do_not_starve_other_green_threads() {
    within(|| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut reader = Green::new(reader).unwrap();
        let (mut a, _b) = pair();
        let others: Vec<_> = (0..4)
            .map(|_| spawn(|| (0..100).for_each(|_| yield_now())))
            .collect();
        while !others[0].is_finished() {
            assert_eq!(reader.read(&mut []).unwrap(), 0);
        }
        while !others[1].is_finished() {
            assert_eq!(a.read(&mut []).unwrap(), 0);
        }
        while !others[2].is_finished() {
            assert_eq!(a.peek(&mut []).unwrap(), 0);
        }
        while !others[3].is_finished() {
            assert_eq!(a.write(&[]).unwrap(), 0);
        }
    });
}

#[test]
fn an_empty_write_returns_at_once_and_fails_like_that_of_std() {
    within(|| {
        let (mut a, _b) = pair();
        a.set_write_timeout(Some(SHORT)).unwrap();
        while a.write(&[0; 8192]).is_ok() {}
        assert_eq!(a.write(&[]).unwrap(), 0);
        assert_eq!(a.write_vectored(&[]).unwrap(), 0);
        a.shutdown(Shutdown::Write).unwrap();
        assert_eq!(a.write(&[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn peek_removes_nothing() {
    within(|| {
        let (mut a, mut b) = pair();
        b.write_all(b"xy").unwrap();
        let mut buf = [0; 8];
        assert_eq!(a.peek(&mut buf).unwrap(), 2);
        assert_eq!(a.read(&mut buf).unwrap(), 2);
    });
}

#[test]
fn socket_options_work_like_those_of_std() {
    within(|| {
        let (a, b) = pair();
        a.set_nodelay(true).unwrap();
        assert!(a.nodelay().unwrap());
        a.set_ttl(42).unwrap();
        assert_eq!(a.ttl().unwrap(), 42);
        assert_eq!(a.local_addr().unwrap(), b.peer_addr().unwrap());
        assert!(a.take_error().unwrap().is_none());
        assert_eq!(a.read_timeout().unwrap(), None);
    });
}

#[test]
fn sockets_convert_from_and_into_those_of_std() {
    within(|| {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = server.local_addr().unwrap();
        let server = TcpListener::from(server);
        let client = spawn(move || connect(addr).unwrap());
        let (accepted, _) = server.accept().unwrap();
        let client = client.join().unwrap();
        let other_thread = std::thread::spawn(move || {
            let mut client = client.into_std().unwrap();
            client.write_all(b"blocking").unwrap();
        });
        let fd = OwnedFd::from(accepted);
        let mut text = String::new();
        TcpStream::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "blocking");
        other_thread.join().unwrap();
    });
}

#[test]
fn a_stream_can_move_to_another_os_thread_after_its_first_wait() {
    within(|| {
        let (mut a, mut b) = pair();
        b.write_all(b"1").unwrap();
        a.read_exact(&mut [0]).unwrap();
        // The stream is registered with the reactor of this OS thread. On the other OS thread it
        // waits with a temporary registration, and is dropped.
        let other = std::thread::spawn(move || {
            a.write_all(b"2").unwrap();
            let mut buf = [0; 1];
            a.read_exact(&mut buf).unwrap();
            buf[0]
        });
        b.read_exact(&mut [0]).unwrap();
        sleep(SHORT);
        b.write_all(b"3").unwrap();
        assert_eq!(b.read(&mut [0]).unwrap(), 0);
        assert_eq!(other.join().unwrap(), b'3');
        // The slot in the reactor's table is free again.
        let (mut c, mut d) = pair();
        c.write_all(b"x").unwrap();
        d.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn a_fast_peer_does_not_starve_other_green_threads() {
    within(|| {
        let (a, b) = pair();
        spawn_n(move || while (&b).write_all(&[0; 8192]).is_ok() {});
        let ticks = Rc::new(Cell::new(0));
        let count = Rc::clone(&ticks);
        spawn_n(move || {
            loop {
                count.set(count.get() + 1);
                yield_now();
            }
        });
        let mut buf = [0; 16];
        for _ in 0..1000 {
            (&a).read_exact(&mut buf).unwrap();
        }
        assert!(ticks.get() > 0);
        drop(a);
        evy_runtime::shutdown(Duration::ZERO);
    });
}

/// Returns the same stream with another descriptor. Its number is the lowest free one from `least`
/// on. No other test uses numbers as high.
fn renumbered(stream: TcpStream, least: RawFd) -> TcpStream {
    let old = OwnedFd::from(stream);
    // SAFETY: the call only duplicates a descriptor, which is open because `old` owns it.
    let new = unsafe { libc::fcntl(old.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    assert!(new >= least, "{}", std::io::Error::last_os_error());
    // SAFETY: `new` is an open descriptor that was created just now, and nothing else owns it.
    TcpStream::from(unsafe { OwnedFd::from_raw_fd(new) })
}

// A descriptor is not closed while a green thread reads from it, because the reader has a handle. A
// shutdown ends the wait, like in std, and the read returns the end of the stream. After that, the
// number is free for another descriptor.
#[test]
fn a_descriptor_number_is_free_for_reuse_once_its_reader_has_returned() {
    const NUMBER: RawFd = 240;
    within(|| {
        let fresh = || {
            let (a, b) = pair();
            (renumbered(a, NUMBER), b)
        };
        let ((stale, _peer), (spare, _)) = (fresh(), pair());
        let mut own = stale.try_clone().unwrap();
        let waiter = spawn(move || own.read(&mut [0]));
        yield_now();
        stale.shutdown(Shutdown::Both).unwrap();
        drop(stale);
        // The number is not free yet, because the reader has not run since the shutdown.
        assert_ne!(renumbered(spare, NUMBER).as_raw_fd(), NUMBER);
        assert_eq!(waiter.join().unwrap().unwrap(), 0);

        for round in 0..200u32 {
            let (mut a, mut b) = fresh();
            assert_eq!(a.as_raw_fd(), NUMBER);
            let reader = spawn(move || {
                let mut buf = [0; 4];
                a.read_exact(&mut buf).unwrap();
                (a, u32::from_ne_bytes(buf))
            });
            yield_now();
            b.write_all(&round.to_ne_bytes()).unwrap();
            let (a, read) = reader.join().unwrap();
            assert_eq!(read, round);
            // To the kernel this is the same socket. To the reactor it is a new source.
            let mut again = TcpStream::from(OwnedFd::from(a));
            assert_eq!(again.as_raw_fd(), NUMBER);
            let reader = spawn(move || {
                again.read_exact(&mut [0]).unwrap();
                again
            });
            yield_now();
            // The stream is closed with an event pending that no green thread waits for.
            b.write_all(b"1 and more").unwrap();
            drop(reader.join().unwrap());
        }
    });
}

#[test]
fn waits_survive_sigstop_and_sigcont() {
    within(|| {
        let server = listen("127.0.0.1:0").unwrap();
        let mut child = rerun_ignored("tcp::a_child_echoes_while_it_is_stopped_and_continued")
            .env("EVY_TEST_PEER", server.local_addr().unwrap().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let signal = |signal| {
            // SAFETY: the child has not been waited for, so its process id belongs to no other
            // process.
            let sent = unsafe { libc::kill(child.id() as libc::pid_t, signal) };
            assert_eq!(sent, 0);
        };
        let (mut stream, _) = server.accept().unwrap();
        for round in 0..10 {
            // By then the child most likely waits in its poller.
            sleep(SHORT);
            signal(libc::SIGSTOP);
            let mut status = 0;
            // SAFETY: the call writes the status of a child of this process to `status`.
            unsafe { libc::waitpid(child.id() as libc::pid_t, &raw mut status, libc::WUNTRACED) };
            assert!(libc::WIFSTOPPED(status), "round {round}: {status:#x}");
            signal(libc::SIGCONT);
            let mut echo = [0];
            stream.write_all(&[round]).unwrap();
            stream.read_exact(&mut echo).unwrap();
            assert_eq!(echo, [round]);
        }
        drop(stream);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
#[ignore = "is the child of `waits_survive_sigstop_and_sigcont`"]
fn a_child_echoes_while_it_is_stopped_and_continued() {
    let mut stream = connect(std::env::var("EVY_TEST_PEER").unwrap()).unwrap();
    let pause = SHORT * 5;
    let sleeper = spawn(move || {
        let start = Instant::now();
        sleep(pause);
        start.elapsed()
    });
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 {
        stream.write_all(&byte).unwrap();
    }
    assert!(sleeper.join().unwrap() >= pause);
}

#[test]
fn an_address_can_be_listened_at_again_at_once() {
    within(|| {
        let server = listen("127.0.0.1:0").unwrap();
        let addr = server.local_addr().unwrap();
        let client = connect(addr).unwrap();
        let (accepted, _) = server.accept().unwrap();
        drop((accepted, server, client));
        listen(addr).unwrap();
    });
}

#[test]
fn blocking_calls_need_no_wrapper() {
    // The OS thread of the test harness becomes a root green thread with its first blocking call.
    let server = listen("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    std::thread::spawn(move || std::net::TcpStream::connect(addr).unwrap());
    server.accept().unwrap();
}
