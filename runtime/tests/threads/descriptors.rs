//! Tests of `Green` descriptors with readiness that is shared, out of date, or not used.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evy_runtime::io::{Direction, Green, Sharing, Timeout};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{sleep, spawn, test, timeout, yield_now};
use evy_test_support::within;

const SOON: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(10);

fn pipe() -> (Green<PipeReader>, io::PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    (Green::new(reader).unwrap(), writer)
}

/// Reads a byte with `op`, which any number of green threads may do at once.
fn read_shared<T: AsFd>(
    green: &Green<T>,
    op: impl FnMut(&T) -> io::Result<usize>,
) -> io::Result<usize> {
    green.with_io(Direction::Read, Sharing::Shared, Timeout::Never, op, |_| {
        false
    })
}

fn read_byte(mut pipe: &PipeReader) -> io::Result<usize> {
    pipe.read(&mut [0])
}

/// Parks a green thread that reads a byte, and gives it a registration to wait at.
fn parked_reader(green: &Rc<Green<PipeReader>>) -> JoinHandle<io::Result<usize>> {
    let green = Rc::clone(green);
    let reader = spawn(move || read_shared(&green, read_byte));
    test::wait_all_parked();
    reader
}

fn join_in_time<T>(handle: JoinHandle<T>) -> T {
    timeout(LIMIT, || handle.join()).expect("woken").unwrap()
}

#[test]
fn readiness_that_is_reported_while_an_operation_runs_is_kept() {
    within(|| {
        let (green, mut writer) = pipe();
        // The first wait registers the descriptor.
        assert!(timeout(SOON, || read_shared(&green, read_byte)).is_err());
        writer.write_all(b"1").unwrap();
        assert_eq!(read_shared(&green, read_byte).unwrap(), 1);
        let mut writes = Some(writer.try_clone().unwrap());
        let slow_read = |pipe: &PipeReader| {
            let result = read_byte(pipe);
            if let Some(mut writer) = writes.take() {
                // The event arrives between the call and the record of what it has found.
                writer.write_all(b"2").unwrap();
                sleep(SOON);
            }
            result
        };
        assert_eq!(
            timeout(LIMIT, || read_shared(&green, slow_read).unwrap()),
            Ok(1)
        );
    });
}

#[test]
fn a_waiter_that_was_woken_and_fails_wakes_the_next_one() {
    within(|| {
        let (green, mut writer) = pipe();
        let green = Rc::new(green);
        let calls = Rc::new(Cell::new(0));
        let failing = {
            let (green, calls) = (Rc::clone(&green), Rc::clone(&calls));
            spawn(move || {
                read_shared(&green, |_| {
                    calls.set(calls.get() + 1);
                    match calls.get() {
                        1 => Err(ErrorKind::WouldBlock.into()),
                        _ => Err(ErrorKind::OutOfMemory.into()),
                    }
                })
            })
        };
        test::wait_all_parked();
        let next = parked_reader(&green);
        writer.write_all(b"x").unwrap();
        let error = join_in_time(failing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert_eq!(join_in_time(next).unwrap(), 1);
    });
}

#[test]
fn an_operation_that_panics_wakes_the_next_waiter() {
    within(|| {
        let (green, mut writer) = pipe();
        let green = Rc::new(green);
        let panicking = {
            let green = Rc::clone(&green);
            let mut first = true;
            spawn(move || {
                let op = |_: &_| match std::mem::take(&mut first) {
                    true => Err(ErrorKind::WouldBlock.into()),
                    false => panic!("on purpose"),
                };
                catch_unwind(AssertUnwindSafe(|| read_shared(&green, op))).is_err()
            })
        };
        test::wait_all_parked();
        let next = parked_reader(&green);
        writer.write_all(b"x").unwrap();
        assert!(join_in_time(panicking));
        assert_eq!(join_in_time(next).unwrap(), 1);
    });
}

/// Ends the first of two registrations of one descriptor with `end`, and checks that the second one
/// still works.
fn check_second_after(end: impl FnOnce(Green<Arc<File>>)) {
    let (reader, mut writer) = io::pipe().unwrap();
    let file = Arc::new(File::from(OwnedFd::from(reader)));
    let read = |file: &Arc<File>| (&**file).read(&mut [0]);
    let first = Green::new(Arc::clone(&file)).unwrap();
    let second = Green::new(file).unwrap();
    assert!(timeout(SOON, || read_shared(&first, read)).is_err());
    assert!(timeout(SOON, || read_shared(&second, read)).is_err());
    end(first);
    let parked = spawn(move || read_shared(&second, read));
    test::wait_all_parked();
    writer.write_all(b"x").unwrap();
    assert_eq!(join_in_time(parked).unwrap(), 1);
}

#[test]
fn two_greens_of_one_descriptor_share_its_readiness() {
    within(|| check_second_after(drop));
}

/// The end of a registration on another OS thread leaves the one here.
#[test]
fn a_green_that_is_dropped_on_another_os_thread_leaves_the_other_green_of_its_descriptor() {
    within(|| {
        check_second_after(|first| std::thread::spawn(move || drop(first)).join().unwrap());
    });
}

#[test]
fn a_leaked_green_does_not_affect_the_next_descriptor_of_its_number() {
    within(|| {
        let (reader, _writer) = io::pipe().unwrap();
        let leaked = Green::from_non_blocking(reader.as_fd());
        let never = |_: &_| Err(ErrorKind::WouldBlock.into());
        assert!(timeout(SOON, || read_shared(&leaked, never)).is_err());
        std::mem::forget(leaked);
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
        drop(reader);
        // The lowest free number is used again.
        let (reader, mut writer) = io::pipe().unwrap();
        let is_reused = std::os::fd::AsRawFd::as_raw_fd(&reader) == number;
        let green = Rc::new(Green::new(reader).unwrap());
        let parked = parked_reader(&green);
        writer.write_all(b"x").unwrap();
        assert_eq!(join_in_time(parked).unwrap(), 1, "{is_reused}");
    });
}

#[test]
fn several_green_threads_wait_for_a_descriptor_that_another_os_thread_has_registered() {
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let green = Arc::new(Green::new(near).unwrap());
        assert!(timeout(SOON, || (&*green).read(&mut [0])).is_err());
        let guest = Arc::clone(&green);
        std::thread::spawn(move || {
            let guest = Rc::new(guest);
            let (reads, writes) = (Rc::clone(&guest), Rc::clone(&guest));
            let reader = spawn(move || (&**reads).read(&mut [0]));
            test::wait_all_parked();
            let second = (&**guest).read(&mut [0]).unwrap_err();
            assert_eq!(second.kind(), ErrorKind::ResourceBusy);
            let data = vec![7; 1 << 22];
            let peer = std::thread::spawn(move || {
                let mut far = far;
                far.read_exact(&mut vec![0; 1 << 22]).unwrap();
                far.write_all(b"x").unwrap();
            });
            let writer = spawn(move || (&**writes).write_all(&data));
            join_in_time(writer).unwrap();
            assert_eq!(join_in_time(reader).unwrap(), 1);
            peer.join().unwrap();
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_short_read_of_a_datagram_socket_does_not_hide_the_next_datagram() {
    within(|| {
        let (near, far) = UnixDatagram::pair().unwrap();
        let green = Green::new(near).unwrap();
        let receive = |buf: &mut [u8]| {
            let op = |socket: &UnixDatagram| socket.recv(buf);
            green.with_io(Direction::Read, Sharing::Shared, Timeout::Never, op, |_| {
                false
            })
        };
        assert!(timeout(SOON, || receive(&mut [0; 8])).is_err());
        far.send(b"one").unwrap();
        far.send(b"two").unwrap();
        yield_now();
        for _ in 0..2 {
            let length = timeout(LIMIT, || receive(&mut [0; 8]).unwrap());
            assert_eq!(length, Ok(3));
        }
    });
}

/// A pipe in packet mode, for which std has no constructor, is a file here.
#[test]
fn a_short_read_of_something_other_than_a_tcp_socket_does_not_hide_the_next_message() {
    within(|| {
        let flags = rustix::pipe::PipeFlags::DIRECT | rustix::pipe::PipeFlags::CLOEXEC;
        let (reader, writer) = rustix::pipe::pipe_with(flags).unwrap();
        let (mut green, mut writer) = (Green::new(File::from(reader)).unwrap(), File::from(writer));
        assert!(timeout(SOON, || green.read(&mut [0; 8])).is_err());
        writer.write_all(b"one").unwrap();
        writer.write_all(b"two").unwrap();
        for _ in 0..2 {
            let length = timeout(LIMIT, || green.read(&mut [0; 8]).unwrap());
            assert_eq!(length, Ok(3));
        }
    });
}

#[test]
fn an_operation_that_must_not_park_always_asks_the_system() {
    within(|| {
        let (green, mut writer) = pipe();
        assert!(timeout(SOON, || read_shared(&green, read_byte)).is_err());
        writer.write_all(b"x").unwrap();
        // No event poll has seen it yet.
        let (read, shared) = (Direction::Read, Sharing::Shared);
        let now = green.with_io(read, shared, Timeout::NonBlocking, read_byte, |_| false);
        assert_eq!(now.unwrap(), 1);
    });
}

/// Each read is interrupted, before it begins or while it is parked. What was read is never lost.
#[test]
fn a_fault_in_a_reader_loses_no_byte() {
    const BYTES: usize = 6;
    let faults = test::inject_faults(|injector| {
        let (green, mut writer) = pipe();
        writer.write_all(&[7; BYTES]).unwrap();
        let green = Rc::new(green);
        let received = Rc::new(Cell::new(0));
        let (reads, counted) = (Rc::clone(&green), Rc::clone(&received));
        let victim = injector.spawn(move || {
            for _ in 0..BYTES {
                read_shared(&reads, read_byte).unwrap();
                counted.set(counted.get() + 1);
            }
        });
        victim.join().ok();
        drop(writer);
        let mut rest = Vec::new();
        (&*green).read_to_end(&mut rest).unwrap();
        assert_eq!(received.get() + rest.len(), BYTES);
    });
    assert!(faults >= 4 * BYTES, "{faults}");
}

/// Urgent data does not make the descriptor readable for an ordinary read.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the peer is on the same OS thread"
)]
fn a_select_does_not_spin_while_urgent_data_is_pending() {
    use rustix::net::{SendFlags, send};
    within(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        send(&far, b"!", SendFlags::OOB).unwrap();
        let near = Green::new(near).unwrap();
        let begun = cpu_time();
        let is_readable = evy_runtime::select! {
            readable(&near) => true,
            after(Duration::from_millis(300)) => false,
        };
        assert!(!is_readable);
        let used = cpu_time() - begun;
        assert!(used < Duration::from_millis(150), "{used:?}");
    });
}

/// Returns the processor time that this OS thread has used.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
