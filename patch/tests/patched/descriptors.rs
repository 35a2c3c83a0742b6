//! Descriptors that are closed while green threads wait for them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use evy_test_support::within;

use crate::{is_patched, outcome, while_ticking};

const CLOSED: (i64, Option<i32>) = (-1, Some(libc::EBADF));

/// Returns the reading end of a pipe that nothing is written to, and what keeps it so.
fn silent_pipe() -> (i32, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into_raw_fd(), writer.into())
}

fn read(fd: i32) -> (i64, Option<i32>) {
    let mut byte = 0_u8;
    // SAFETY: the buffer is valid.
    outcome(unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } as i64)
}

/// Closes a descriptor, in one of the ways there are.
type Close = fn(i32);

const CLOSES: [Close; 4] = [
    // SAFETY: the tests own the descriptors.
    |fd| unsafe {
        assert_eq!(libc::close(fd), 0);
    },
    // SAFETY: the tests own the descriptors.
    |fd| unsafe {
        assert_eq!(libc::dup2(0, fd), fd);
        libc::close(fd);
    },
    // SAFETY: the tests own the descriptors.
    |fd| unsafe {
        assert_eq!(libc::dup3(0, fd, libc::O_CLOEXEC), fd);
        libc::close(fd);
    },
    // SAFETY: the tests own the descriptors.
    |fd| unsafe {
        let result = libc::syscall(libc::SYS_close_range, fd, fd, libc::CLOSE_RANGE_CLOEXEC);
        unsafe extern "C" {
            fn close_range(first: u32, last: u32, flags: i32) -> i32;
        }
        // Where the system has it at all.
        match result {
            0 => assert_eq!(close_range(fd as u32, fd as u32, 0), 0),
            _ => assert_eq!(libc::close(fd), 0),
        }
    },
];

#[test]
fn a_close_ends_the_waits_for_the_descriptor() {
    if !is_patched() {
        return;
    }
    within(|| {
        for close in CLOSES {
            let (reader, writer) = silent_pipe();
            let results = while_ticking(3, move |_| read(reader), move || close(reader));
            assert_eq!(results, [CLOSED; 3]);
            drop(writer);
        }
    });
}

#[test]
fn a_close_on_another_os_thread_ends_the_waits_too() {
    if !is_patched() {
        return;
    }
    within(|| {
        for close in CLOSES {
            let (reader, writer) = silent_pipe();
            let release = move || drop(std::thread::spawn(move || close(reader)));
            assert_eq!(
                while_ticking(3, move |_| read(reader), release),
                [CLOSED; 3]
            );
            drop(writer);
        }
    });
}

#[test]
fn a_close_ends_the_waits_of_another_scheduler() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (reader, writer) = silent_pipe();
        let other = std::thread::spawn(move || {
            let waiters: Vec<_> = (0..3).map(|_| evy::spawn(move || read(reader))).collect();
            waiters
                .into_iter()
                .map(|waiter| waiter.join().unwrap())
                .collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(50));
        CLOSES[0](reader);
        assert_eq!(other.join().unwrap(), [CLOSED; 3]);
        drop(writer);
    });
}

#[test]
fn calls_on_sockets_end_when_the_socket_is_closed() {
    if !is_patched() {
        return;
    }
    within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap().into_raw_fd();
        let (a, b) = UnixStream::pair().unwrap();
        let socket = a.into_raw_fd();
        let calls = move |n| {
            let none: *mut libc::c_void = std::ptr::null_mut();
            let mut byte = 0_u8;
            // SAFETY: the pointers are valid or null.
            unsafe {
                match n {
                    0 => outcome(libc::accept(listener, none.cast(), none.cast())),
                    1 => outcome(libc::recv(socket, (&raw mut byte).cast(), 1, 0) as i64),
                    _ => {
                        let mut message: libc::msghdr = std::mem::zeroed();
                        outcome(libc::recvmsg(socket, &raw mut message, 0) as i64)
                    }
                }
            }
        };
        let release = move || {
            CLOSES[0](listener);
            CLOSES[0](socket);
        };
        assert_eq!(while_ticking(3, calls, release), [CLOSED; 3]);
        drop(b);
    });
}

#[test]
fn a_wait_never_goes_on_with_the_next_file_of_the_number() {
    if !is_patched() {
        return;
    }
    within(|| {
        for _ in 0..50 {
            let (reader, writer) = silent_pipe();
            let waiters: Vec<_> = (0..2).map(|_| evy::spawn(move || read(reader))).collect();
            evy::yield_now();
            let (mut full, mut filler) = std::io::pipe().unwrap();
            filler.write_all(b"xy").unwrap();
            // The number now means a pipe that has data.
            std::thread::spawn(move || {
                // SAFETY: both are open, and owned by this test.
                assert_eq!(unsafe { libc::dup2(full.as_raw_fd(), reader) }, reader);
                drop(filler);
                let mut text = String::new();
                full.read_to_string(&mut text).unwrap();
                assert_eq!(text, "xy");
            })
            .join()
            .unwrap();
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), CLOSED);
            }
            // SAFETY: the number is owned by this test.
            drop(unsafe { OwnedFd::from_raw_fd(reader) });
            drop(writer);
        }
    });
}

#[test]
fn a_close_is_a_cancellation_point_of_an_os_thread() {
    if !is_patched() {
        return;
    }
    unsafe extern "C" {
        fn pthread_cancel(thread: libc::pthread_t) -> i32;
    }
    unsafe extern "C-unwind" {
        fn close(fd: i32) -> i32;
    }
    type Start = extern "C" fn(*mut libc::c_void) -> *mut libc::c_void;
    extern "C-unwind" fn close_when_cancelled(fd: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: the descriptor belongs to this thread. No destructor is left out.
        unsafe {
            pthread_cancel(libc::pthread_self());
            close(fd.addr() as i32);
        }
        std::ptr::null_mut()
    }
    within(|| {
        // SAFETY: the descriptor is given to the thread, which is joined.
        let result = unsafe {
            let fd = libc::dup(0);
            let start: extern "C-unwind" fn(*mut libc::c_void) -> *mut libc::c_void =
                close_when_cancelled;
            let start = std::mem::transmute::<*const (), Start>(start as *const ());
            let argument = std::ptr::without_provenance_mut(fd as usize);
            let (mut thread, mut result) = (0, std::ptr::null_mut());
            let attributes = std::ptr::null();
            assert_eq!(
                libc::pthread_create(&raw mut thread, attributes, start, argument),
                0
            );
            assert_eq!(libc::pthread_join(thread, &raw mut result), 0);
            result
        };
        assert_eq!(result.addr().cast_signed(), -1, "`PTHREAD_CANCELED`");
    });
}

#[test]
fn a_failed_dup_ends_no_wait() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (reader, writer) = silent_pipe();
        let mut writer = Some(writer);
        let release = move || {
            // SAFETY: the first number is not open.
            unsafe {
                assert_eq!(outcome(libc::dup2(1_000_000, reader)), CLOSED);
                assert_eq!(libc::dup2(reader, reader), reader);
            }
            drop(writer.take());
        };
        assert_eq!(
            while_ticking(1, move |_| read(reader), release),
            [(0, None)]
        );
        CLOSES[0](reader);
    });
}

#[test]
fn a_poll_reports_a_descriptor_that_is_closed() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (reader, writer) = silent_pipe();
        let (other, other_writer) = silent_pipe();
        let poll = move |_| {
            let mut fds = [other, reader].map(|fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            });
            // SAFETY: the pointer is valid.
            let found = unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) };
            (found, fds.map(|one| one.revents))
        };
        let expected = [(1, [0, libc::POLLNVAL]); 2];
        assert_eq!(while_ticking(2, poll, || CLOSES[0](reader)), expected);
        CLOSES[0](other);
        drop((writer, other_writer));
    });
}
