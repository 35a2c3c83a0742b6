//! Conformance tests for [`Stream`], which run over any transport.
//!
//! A transport passes a function that returns two connected streams:
//!
//! ```ignore
//! evy_test_support::stream_conformance!(evy_test_support::stream::tcp_pair);
//! ```

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::time::Duration;

use evy_net::unix::UnixStream;
use evy_net::{Stream, TcpStream, connect, listen};
use evy_runtime::{sleep, spawn, timeout, yield_now};

use crate::within::within;

const SHORT: Duration = Duration::from_millis(10);

/// Returns the two ends of a TCP connection over loopback.
#[must_use]
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let server = listen("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    let client = spawn(move || connect(addr).unwrap());
    let (accepted, _) = server.accept().unwrap();
    (client.join().unwrap(), accepted)
}

/// Returns the two ends of a connection of Unix sockets.
#[must_use]
pub fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// Declares one test for each function of this module that checks a stream. `no reset` leaves out
/// the one for transports that can signal that a stream is incomplete.
#[macro_export]
macro_rules! stream_conformance {
    ($pair:expr) => {
        $crate::stream_conformance! { no reset $pair }
        $crate::stream_conformance! { @each $pair;
            a_reset_stream_is_an_error_for_its_peer
        }
    };
    (no reset $pair:expr) => {
        $crate::stream_conformance! { @each $pair;
            bytes_arrive_in_both_directions_at_once
            a_large_transfer_arrives_whole_in_pieces_of_any_size
            vectored_reads_and_writes_carry_the_same_bytes
            more_buffers_than_one_call_takes_show_nothing_about_the_stream
            an_empty_read_returns_at_once
            close_write_ends_one_direction_only
            a_dropped_stream_ends_for_its_peer
            writing_to_a_stream_fails_if_its_peer_is_gone
            a_waiting_reader_parks_its_green_thread_only
            a_read_timeout_passes_and_loses_nothing
            a_write_timeout_passes_when_the_peer_does_not_read
            a_timeout_of_zero_is_invalid
            a_killed_reader_loses_nothing
            an_expired_timeout_around_a_read_loses_nothing
            a_wait_for_data_parks_until_there_are_some_and_takes_none
            a_wait_for_data_ends_with_the_stream
            a_wait_for_data_that_times_out_or_is_killed_loses_nothing
        }
    };
    (@each $pair:expr; $($name:ident)*) => { $(
        #[test]
        fn $name() {
            $crate::stream::$name($pair);
        }
    )* };
}

/// A stream carries bytes in both directions, and both may be in use at the same time.
pub fn bytes_arrive_in_both_directions_at_once<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        let echo = spawn(move || {
            let mut buf = [0; 5];
            b.read_exact(&mut buf).unwrap();
            b.write_all(&buf).unwrap();
            b
        });
        a.write_all(b"hello").unwrap();
        let mut buf = [0; 5];
        a.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hello");
        drop(echo.join().unwrap());
    });
}

/// Bytes arrive in order and complete, however the writes and reads are cut.
pub fn a_large_transfer_arrives_whole_in_pieces_of_any_size<S: Stream>(pair: fn() -> (S, S)) {
    const LEN: usize = 1 << 20;
    let byte = |at: usize| (at * 31 + at / 251) as u8;
    within(move || {
        let (mut a, mut b) = pair();
        let writer = spawn(move || {
            let all: Vec<u8> = (0..LEN).map(byte).collect();
            let (mut at, mut piece) = (0, 1);
            while at < LEN {
                let end = (at + piece).min(LEN);
                a.write_all(&all[at..end]).unwrap();
                at = end;
                piece = piece * 3 % 70_001 + 1;
            }
            a.close_write().unwrap();
            a
        });
        let (mut at, mut piece) = (0, 1);
        let mut buf = vec![0; 50_000];
        loop {
            let read = b.read(&mut buf[..piece]).unwrap();
            if read == 0 {
                break;
            }
            let expected = (at..at + read).map(byte);
            assert!(buf[..read].iter().copied().eq(expected), "wrong from {at}");
            at += read;
            piece = piece * 7 % 49_999 + 1;
        }
        assert_eq!(at, LEN);
        drop(writer.join().unwrap());
    });
}

/// One call with several buffers has the same effect as one call for each buffer.
pub fn vectored_reads_and_writes_carry_the_same_bytes<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        let written = a
            .write_vectored(&[IoSlice::new(b"one"), IoSlice::new(b"two")])
            .unwrap();
        a.write_all(&b"onetwo"[written..]).unwrap();
        let (mut first, mut second) = ([0; 2], [0; 4]);
        let read = b
            .read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)])
            .unwrap();
        let mut all = [first.as_slice(), second.as_slice()].concat();
        b.read_exact(&mut all[read..]).unwrap();
        assert_eq!(all, b"onetwo");
    });
}

/// After a call with more buffers than the system takes at once, the next one does what it can: it
/// does not wait for room or for bytes that are there.
pub fn more_buffers_than_one_call_takes_show_nothing_about_the_stream<S: Stream>(
    pair: fn() -> (S, S),
) {
    const BUFFERS: usize = 2000;
    within(move || {
        let (mut a, mut b) = pair();
        let timely = Duration::from_secs(5);
        // Both streams have waited once, so that their readiness is known from then on.
        for stream in [&mut a, &mut b] {
            assert!(timeout(SHORT, || stream.read(&mut [0])).is_err());
        }
        let ones = vec![IoSlice::new(b"1"); BUFFERS];
        let mut sent = 0;
        while sent < BUFFERS {
            let written = timeout(timely, || a.write_vectored(&ones[sent..]));
            sent += written.expect("there is room").unwrap();
        }
        let mut bytes = vec![0; BUFFERS];
        let mut received = 0;
        // All bytes have arrived once they can be read together.
        sleep(SHORT);
        while received < BUFFERS {
            let pieces = bytes[received..].chunks_mut(1);
            let mut bufs: Vec<_> = pieces.map(IoSliceMut::new).collect();
            let read = timeout(timely, || b.read_vectored(&mut bufs));
            received += read.expect("there are bytes").unwrap();
        }
        assert!(bytes.iter().all(|byte| *byte == b'1'));
    });
}

/// A read without room for a byte neither waits nor takes anything.
pub fn an_empty_read_returns_at_once<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        let mut reads_before_another_runs = || {
            let other = spawn(|| ());
            for _ in 0..2 {
                assert_eq!(b.read(&mut []).unwrap(), 0);
                assert_eq!(b.read_vectored(&mut []).unwrap(), 0);
                assert_eq!(b.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
            }
            let is_first = !other.is_finished();
            other.join().unwrap();
            is_first
        };
        // A turn that has lasted for long ends at any call, so there are several tries.
        assert!((0..20).any(|_| reads_before_another_runs()));
        a.write_all(b"kept").unwrap();
        assert_eq!(b.read(&mut []).unwrap(), 0);
        let mut buf = [0; 4];
        b.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"kept");
    });
}

/// After `close_write` the peer reads the end, and can still send.
pub fn close_write_ends_one_direction_only<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        a.write_all(b"last").unwrap();
        a.close_write().unwrap();
        let mut text = String::new();
        b.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last");
        b.write_all(b"answer").unwrap();
        drop(b);
        text.clear();
        a.read_to_string(&mut text).unwrap();
        assert_eq!(text, "answer");
    });
}

/// When a stream is dropped, its peer reads what was sent, and then the end.
pub fn a_dropped_stream_ends_for_its_peer<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        a.write_all(b"bye").unwrap();
        drop(a);
        let mut text = String::new();
        b.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bye");
    });
}

/// A write fails after the peer is gone, though some writes may succeed first.
pub fn writing_to_a_stream_fails_if_its_peer_is_gone<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, b) = pair();
        drop(b);
        let error = loop {
            if let Err(error) = a.write_all(&[0; 1024]) {
                break error;
            }
            sleep(Duration::from_millis(1));
        };
        let kind = error.kind();
        let expected = [
            ErrorKind::BrokenPipe,
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionAborted,
        ];
        assert!(expected.contains(&kind), "{kind:?}");
    });
}

/// A stream that was reset does not end like one that is complete.
pub fn a_reset_stream_is_an_error_for_its_peer<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        a.write_all(b"half a mess").unwrap();
        a.reset();
        drop(a);
        let outcome = b.read_to_end(&mut Vec::new());
        assert!(outcome.is_err(), "the peer read a regular end: {outcome:?}");
    });
}

/// While one green thread waits for data, the others of its OS thread run.
pub fn a_waiting_reader_parks_its_green_thread_only<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        let reader = spawn(move || {
            let mut byte = [0];
            b.read_exact(&mut byte).unwrap();
            byte[0]
        });
        for _ in 0..10 {
            yield_now();
        }
        assert!(!reader.is_finished());
        a.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), b'x');
    });
}

/// A read that takes too long returns `TimedOut`, and the next one gets the bytes.
pub fn a_read_timeout_passes_and_loses_nothing<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        b.set_read_timeout(Some(SHORT)).unwrap();
        let mut buf = [0; 4];
        let error = b.read(&mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        b.set_read_timeout(None).unwrap();
        a.write_all(b"late").unwrap();
        b.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"late");
    });
}

/// A write that takes too long returns `TimedOut`.
pub fn a_write_timeout_passes_when_the_peer_does_not_read<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, b) = pair();
        a.set_write_timeout(Some(SHORT)).unwrap();
        let block = vec![0; 1 << 16];
        let error = loop {
            if let Err(error) = a.write(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(b);
    });
}

/// A timeout of zero is rejected, like in std.
pub fn a_timeout_of_zero_is_invalid<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (a, _b) = pair();
        for outcome in [
            a.set_read_timeout(Some(Duration::ZERO)),
            a.set_write_timeout(Some(Duration::ZERO)),
        ] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    });
}

/// A reader that is killed while it waits has taken nothing out of the stream.
pub fn a_killed_reader_loses_nothing<S: Stream>(pair: fn() -> (S, S)) {
    use std::cell::RefCell;
    use std::rc::Rc;
    within(move || {
        let (mut a, b) = pair();
        let shared = Rc::new(RefCell::new(b));
        let reading = Rc::clone(&shared);
        let reader = spawn(move || reading.borrow_mut().read(&mut [0; 4]).unwrap());
        yield_now();
        reader.kill();
        assert!(reader.join().unwrap_err().is_killed());
        a.write_all(b"kept").unwrap();
        let mut buf = [0; 4];
        shared.borrow_mut().read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"kept");
    });
}

/// A timeout that ends a read has taken nothing out of the stream.
pub fn an_expired_timeout_around_a_read_loses_nothing<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        let mut buf = [0; 4];
        assert!(timeout(SHORT, || b.read(&mut buf)).is_err());
        a.write_all(b"kept").unwrap();
        b.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"kept");
    });
}

/// `wait_readable` waits for data, also after a read that has left nothing, and leaves them to the
/// read.
pub fn a_wait_for_data_parks_until_there_are_some_and_takes_none<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        let mut buf = [0; 100];
        for _ in 0..3 {
            let waiting = spawn(move || {
                b.wait_readable().unwrap();
                b
            });
            sleep(SHORT);
            assert!(!waiting.is_finished());
            a.write_all(b"first").unwrap();
            b = waiting.join().unwrap();
            // Data that are there already end a wait as well.
            b.wait_readable().unwrap();
            assert_eq!(b.read(&mut buf).unwrap(), 5);
            a.write_all(b"second").unwrap();
            b.wait_readable().unwrap();
            b.read_exact(&mut buf[..2]).unwrap();
            b.wait_readable().unwrap();
            // With room for more, so that the read shows that there is no more.
            assert_eq!(b.read(&mut buf[2..]).unwrap(), 4);
            assert_eq!(&buf[..6], b"second");
        }
    });
}

/// The end of the stream ends a wait, and is read afterwards.
pub fn a_wait_for_data_ends_with_the_stream<S: Stream>(pair: fn() -> (S, S)) {
    within(move || {
        let (mut a, mut b) = pair();
        let waiting = spawn(move || {
            b.wait_readable().unwrap();
            b
        });
        yield_now();
        a.close_write().unwrap();
        b = waiting.join().unwrap();
        for _ in 0..2 {
            b.wait_readable().unwrap();
            assert_eq!(b.read(&mut [0]).unwrap(), 0);
        }
    });
}

/// A wait that ends early has taken nothing out of the stream.
pub fn a_wait_for_data_that_times_out_or_is_killed_loses_nothing<S: Stream>(pair: fn() -> (S, S)) {
    use std::cell::RefCell;
    use std::rc::Rc;
    within(move || {
        let (mut a, b) = pair();
        b.set_read_timeout(Some(SHORT)).unwrap();
        let shared = Rc::new(RefCell::new(b));
        let error = shared.borrow_mut().wait_readable().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        shared.borrow().set_read_timeout(None).unwrap();
        assert!(timeout(SHORT, || shared.borrow_mut().wait_readable()).is_err());
        let waits = Rc::clone(&shared);
        let waiting = spawn(move || waits.borrow_mut().wait_readable().unwrap());
        yield_now();
        waiting.kill();
        assert!(waiting.join().unwrap_err().is_killed());
        a.write_all(b"kept").unwrap();
        let mut buf = [0; 4];
        shared.borrow_mut().read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"kept");
    });
}
