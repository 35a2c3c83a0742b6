//! Calls with arguments that are wrong or unusual: they return at once, with the `errno` of C.

use std::ffi::c_int;
use std::fs::File;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::ptr;

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome};

type Outcome = (i64, Option<i32>);

fn failed(errno: c_int) -> Outcome {
    (-1, Some(errno))
}

/// Returns the ends of an empty pipe.
fn pipe() -> [c_int; 2] {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    ends
}

#[test]
fn an_accept_that_cannot_succeed_does_not_wait() {
    if !is_patched() {
        return;
    }
    within(|| {
        fn accept(fd: c_int, flags: c_int) -> Outcome {
            // SAFETY: no address is asked for.
            outcome(unsafe { libc::accept4(fd, ptr::null_mut(), ptr::null_mut(), flags) })
        }
        let found = as_on_os_thread(|| {
            let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
            let (one, _other) = UnixStream::pair().unwrap();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            [
                accept(datagrams.as_raw_fd(), 0),
                accept(one.as_raw_fd(), 0),
                accept(pipe()[0], 0),
                accept(-1, 0),
                accept(listener.as_raw_fd(), 1),
            ]
        });
        let errors = [
            libc::EOPNOTSUPP,
            libc::EINVAL,
            libc::ENOTSOCK,
            libc::EBADF,
            libc::EINVAL,
        ];
        assert_eq!(found, errors.map(failed));
    });
}

#[test]
fn parts_at_null_are_refused() {
    if !is_patched() {
        return;
    }
    within(|| {
        let found = as_on_os_thread(|| {
            let [reader, writer] = pipe();
            // SAFETY: the kernel checks the pointers.
            unsafe {
                [
                    outcome(libc::readv(reader, ptr::null(), 1)),
                    outcome(libc::writev(writer, ptr::null(), 1)),
                    outcome(libc::vmsplice(writer, ptr::null(), 1, 0)),
                    outcome(libc::readv(reader, ptr::null(), -1)),
                    outcome(libc::writev(writer, ptr::null(), 5000)),
                ]
            }
        });
        assert_eq!(found[0], failed(libc::EFAULT));
        assert_eq!(found[3], failed(libc::EINVAL));
    });
}

#[test]
fn parts_that_are_longer_than_memory_are_refused() {
    if !is_patched() {
        return;
    }
    within(|| {
        let found = as_on_os_thread(|| {
            let mut byte = 0_u8;
            let part = libc::iovec {
                iov_base: (&raw mut byte).cast(),
                iov_len: usize::MAX,
            };
            let [_reader, writer] = pipe();
            // SAFETY: the kernel checks the lengths.
            outcome(unsafe { libc::writev(writer, [part, part].as_ptr(), 2) })
        });
        assert_eq!(found, failed(libc::EINVAL));
    });
}

#[test]
fn a_call_for_no_bytes_does_not_wait() {
    if !is_patched() {
        return;
    }
    within(|| {
        let found = as_on_os_thread(|| {
            let [reader, writer] = pipe();
            let mut nothing = [0_u8; 0];
            let (no_offset, to) = (ptr::null_mut(), pipe()[1]);
            // SAFETY: no byte is accessed.
            unsafe {
                let terminal = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY);
                let results = [
                    outcome(libc::read(reader, nothing.as_mut_ptr().cast(), 0)),
                    outcome(libc::write(writer, nothing.as_ptr().cast(), 0)),
                    outcome(libc::read(terminal, nothing.as_mut_ptr().cast(), 0)),
                    outcome(libc::splice(reader, no_offset, to, no_offset, 0, 0)),
                    outcome(libc::tee(reader, to, 0, 0)),
                ];
                libc::close(terminal);
                results
            }
        });
        assert_eq!(found[0], (0, None));
    });
}

#[test]
fn a_splice_that_cannot_succeed_does_not_wait() {
    if !is_patched() {
        return;
    }
    within(|| {
        let found = as_on_os_thread(|| {
            let ([reader, writer], [_, to]) = (pipe(), pipe());
            let mut offset = 0;
            let none = ptr::null_mut();
            // SAFETY: the offset is valid.
            unsafe {
                [
                    outcome(libc::splice(reader, &raw mut offset, to, none, 1, 0)),
                    outcome(libc::splice(writer, none, to, none, 1, 0)),
                    outcome(libc::tee(writer, to, 1, 0)),
                ]
            }
        });
        assert_eq!(found[0], failed(libc::ESPIPE));
        assert_eq!(found[1], failed(libc::EBADF));
    });
}

#[test]
fn a_negative_time_of_a_select_is_refused() {
    if !is_patched() {
        return;
    }
    within(|| {
        fn select(tv_sec: i64, tv_usec: i64) -> Outcome {
            let mut time = libc::timeval { tv_sec, tv_usec };
            let none = ptr::null_mut();
            // SAFETY: the time is valid.
            outcome(unsafe { libc::select(0, none, none, none, &raw mut time) })
        }
        let found = as_on_os_thread(|| [select(-1, 0), select(0, -1), select(0, 1)]);
        assert_eq!(found[..2], [failed(libc::EINVAL); 2]);
    });
}

#[test]
fn a_select_with_more_numbers_than_a_set_has_is_left_to_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        let found = as_on_os_thread(|| {
            let reader = pipe()[0];
            // Some programs use larger sets.
            let mut set = [0_u64; 64];
            set[reader as usize / 64] |= 1 << (reader % 64);
            let mut time = libc::timeval {
                tv_sec: 0,
                tv_usec: 1000,
            };
            let (set, none) = (set.as_mut_ptr().cast(), ptr::null_mut());
            // SAFETY: the set is as large as the call says.
            outcome(unsafe { libc::select(4096, set, none, none, &raw mut time) })
        });
        assert_eq!(found, (0, None));
    });
}

#[test]
fn a_poll_for_what_a_regular_file_never_reports_times_out() {
    if !is_patched() {
        return;
    }
    within(|| {
        let found = as_on_os_thread(|| {
            let null = File::open("/dev/null").unwrap();
            let mut one = libc::pollfd {
                fd: null.as_raw_fd(),
                events: libc::POLLPRI,
                revents: 0,
            };
            // SAFETY: the pointer is valid.
            outcome(unsafe { libc::poll(&raw mut one, 1, 5) })
        });
        assert_eq!(found, (0, None));
    });
}

#[test]
fn a_regular_file_that_is_called_nonblocking_is_read() {
    if !is_patched() {
        return;
    }
    within(|| {
        let read = || {
            let mut path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
            path.push(format!("nonblocking-{}", std::process::id()));
            let mut file = File::create(&path).unwrap();
            file.write_all(&vec![1; 1 << 20]).unwrap();
            file.sync_all().unwrap();
            // SAFETY: the descriptor is open.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            let mut open = File::options();
            let mut file = open
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&path)
                .unwrap();
            std::fs::remove_file(path).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap()
        };
        assert_eq!(as_on_os_thread(read), 1 << 20);
    });
}
