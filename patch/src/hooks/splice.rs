//! Moving data between descriptors: `splice`, `tee`, `vmsplice`, `sendfile`.
//!
//! The kernel has a flag for "without blocking", but it concerns pipes only. So the other side is
//! polled first, and a socket gets no more at once than it surely has room for.
//!
//! `copy_file_range` is not replaced: it works with regular files only.

use std::ffi::{c_int, c_uint};

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::Caller;
use libc::{iovec, loff_t, off_t, pollfd, size_t, ssize_t};

use super::blocking_mode::is_nonblocking;
use super::files::{PIPE_BUF, parts_of, rest_of};
use super::readiness::poll_now;
use super::sockets::option;
use super::system::{WOULD_BLOCK, fail, returned, system_call};
use super::wait::{Call, Next};

hooks! {
    OS: fn splice(
        from: c_int,
        from_offset: *mut loff_t,
        to: c_int,
        to_offset: *mut loff_t,
        len: size_t,
        flags: c_uint,
    ) -> ssize_t {
        |caller| between(caller, &"splice", (from, to), len, flags, |len, flags| {
            system_call!(SYS_splice, from, from_offset, to, to_offset, len, flags)
        })
    }

    OS: fn tee(from: c_int, to: c_int, len: size_t, flags: c_uint) -> ssize_t {
        |caller| between(caller, &"tee", (from, to), len, flags, |len, flags| {
            system_call!(SYS_tee, from, to, len, flags)
        })
    }

    OS: fn vmsplice(fd: c_int, parts: *const iovec, count: size_t, flags: c_uint) -> ssize_t {
        |caller| {
            let list = c_int::try_from(count).ok().and_then(|count| parts_of(parts, count));
            match list {
                Some(list) if flags & libc::SPLICE_F_NONBLOCK == 0 => {
                    map_into_pipe(caller, fd, list, flags)
                }
                _ => real::vmsplice(fd, parts, count, flags),
            }
        }
    }

    OS: fn sendfile(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t {
        |caller| send_all(caller, (from, to), len, |len| {
            system_call!(SYS_sendfile, to, from, offset, len)
        })
    }

    OS: fn sendfile64(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t {
        |_caller| sendfile(to, from, offset, len)
    }
}

/// Moves some data from one descriptor to another, of which one is a pipe. Returns once some has
/// moved.
fn between(
    caller: Caller,
    name: &'static &'static str,
    (from, to): (c_int, c_int),
    len: size_t,
    flags: c_uint,
    attempt: impl Fn(size_t, c_uint) -> isize,
) -> ssize_t {
    let has_pipe = is_pipe(from) || is_pipe(to);
    if flags & libc::SPLICE_F_NONBLOCK != 0 || !has_pipe || len == 0 {
        return returned(attempt(len, flags));
    }
    let mut input = Call::begin(caller, name, from, Direction::Read);
    let mut output = Call::begin(caller, name, to, Direction::Write);
    loop {
        let missing = missing(from, to);
        let fd = match missing {
            Some(Direction::Read) => from,
            // A pipe that is called writable may still have no room for another piece.
            _ => to,
        };
        // Where a pipe is not ready, the call does not block, and finds out what is wrong with it.
        if missing.is_none() || is_pipe(fd) {
            let result = attempt(len.min(room(to)), flags | libc::SPLICE_F_NONBLOCK);
            if result != WOULD_BLOCK || is_nonblocking(from) || is_nonblocking(to) {
                return returned(result);
            }
        }
        let call = match missing {
            Some(Direction::Read) => &mut input,
            _ => &mut output,
        };
        if is_nonblocking(fd) {
            return fail(libc::EAGAIN);
        }
        match call.wait() {
            Next::TryAgain => {}
            Next::TimedOut => return fail(libc::EAGAIN),
            Next::Fail(errno) => return fail(errno),
            // A regular file is always ready.
            Next::IsNotPollable => return returned(attempt(len, flags)),
        }
    }
}

/// Returns the side that is not ready. An error of one side makes both ready, for the call to
/// report it.
fn missing(from: c_int, to: c_int) -> Option<Direction> {
    let mut sides = [(from, libc::POLLIN), (to, libc::POLLOUT)].map(|(fd, events)| pollfd {
        fd,
        events,
        revents: 0,
    });
    // SAFETY: the array is valid.
    unsafe { poll_now(sides.as_mut_ptr(), 2) };
    let [input, output] = sides.map(|side| side.revents);
    match (input, output) {
        _ if (input | output) & libc::POLLNVAL != 0 => None,
        (0, _) => Some(Direction::Read),
        (_, 0) => Some(Direction::Write),
        _ => None,
    }
}

/// Returns how much a descriptor that is writable takes without blocking. The flag for pipes covers
/// a pipe, whatever this returns.
fn room(fd: c_int) -> size_t {
    // A socket is called writable if a third of its buffer is free, and the kernel counts up to
    // twice the size of the data.
    match usize::try_from(option(fd, libc::SO_SNDBUF)) {
        Ok(size @ 1..) => (size / 8).max(1),
        _ => size_t::MAX,
    }
}

/// Moves data from a file to a descriptor. Like the kernel, returns once everything has moved.
fn send_all(
    caller: Caller,
    (from, to): (c_int, c_int),
    len: size_t,
    attempt: impl Fn(size_t) -> isize,
) -> ssize_t {
    if len == 0 || is_nonblocking(to) {
        return returned(attempt(len));
    }
    let mut input = Call::begin(caller, &"sendfile", from, Direction::Read);
    let mut output = Call::begin(caller, &"sendfile", to, Direction::Write);
    let mut done: usize = 0;
    while done < len {
        if let Some(side) = missing(from, to) {
            let call = match side {
                Direction::Read => &mut input,
                _ => &mut output,
            };
            let failed = match call.wait() {
                Next::TryAgain => continue,
                Next::TimedOut => fail(libc::EAGAIN),
                Next::Fail(errno) => fail(errno),
                Next::IsNotPollable => returned(attempt(len - done)),
            };
            return if done == 0 {
                failed
            } else {
                done.cast_signed()
            };
        }
        let piece = match is_pipe(to) {
            true => PIPE_BUF,
            false => room(to),
        };
        let moved = returned(attempt(piece.min(len - done)));
        match usize::try_from(moved) {
            Err(_) if done == 0 => return moved,
            Err(_) | Ok(0) => break,
            Ok(moved) => done += moved,
        }
    }
    done.cast_signed()
}

fn is_pipe(fd: c_int) -> bool {
    // SAFETY: the call returns a number, and fails if `fd` is not an open pipe.
    unsafe { system_call!(SYS_fcntl, fd, libc::F_GETPIPE_SZ) >= 0 }
}

/// Maps memory into a pipe. Returns once everything is there.
fn map_into_pipe(caller: Caller, fd: c_int, parts: &[iovec], flags: c_uint) -> ssize_t {
    let direction = match is_for_reading(fd) {
        true => Direction::Read,
        false => Direction::Write,
    };
    let mut call = Call::begin(caller, &"vmsplice", fd, direction);
    let mut done = 0;
    while let Some((base, len)) = rest_of(parts, done).next() {
        let part = iovec {
            iov_base: base.cast_mut(),
            iov_len: len,
        };
        let each = flags | libc::SPLICE_F_NONBLOCK;
        // SAFETY: the part is valid (caller of `vmsplice`).
        let attempt = || unsafe { system_call!(SYS_vmsplice, fd, &raw const part, 1, each) };
        let moved = call.complete(attempt, || WOULD_BLOCK);
        match usize::try_from(moved) {
            Err(_) if done == 0 => return moved,
            Err(_) | Ok(0) => break,
            Ok(moved) => done += moved,
        }
        if direction == Direction::Read {
            // A read returns what there is.
            break;
        }
    }
    done.cast_signed()
}

fn is_for_reading(fd: c_int) -> bool {
    // SAFETY: the call reads flags, and fails if `fd` is not open.
    let flags = unsafe { system_call!(SYS_fcntl, fd, libc::F_GETFL) };
    flags & libc::O_ACCMODE as isize == libc::O_RDONLY as isize
}
