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
use super::masks::Mask;
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
        |caller| {
            let attempt = |len, flags| system_call!(SYS_tee, from, to, len, flags);
            match is_pipe(from) && is_pipe(to) {
                true => between(caller, &"tee", (from, to), len, flags, attempt),
                false => returned(attempt(len, flags)),
            }
        }
    }

    OS: fn vmsplice(fd: c_int, parts: *const iovec, count: size_t, flags: c_uint) -> ssize_t {
        |caller| match flags & libc::SPLICE_F_NONBLOCK {
            0 => map_into_pipe(caller, fd, (parts, count), flags),
            _ => real::vmsplice(fd, parts, count, flags),
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
    let is_wrong = !has_pipe || !is_allowed(from, to);
    if flags & libc::SPLICE_F_NONBLOCK != 0 || is_wrong || len == 0 {
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
    unsafe { poll_now(sides.as_mut_ptr(), 2, &Mask::NONE) };
    let [input, output] = sides.map(|side| side.revents);
    let side = match (input, output) {
        _ if (input | output) & libc::POLLNVAL != 0 => None,
        (0, _) => Some(Direction::Read),
        (_, 0) => Some(Direction::Write),
        _ => None,
    };
    side.filter(|_| !is_anonymous(from) && !is_anonymous(to))
}

/// Whether a descriptor has no type, like those for events, timers and signals. The kernel moves no
/// data from it or to it, and says so at once.
fn is_anonymous(fd: c_int) -> bool {
    // SAFETY: all zeros is a valid value, and the pointer is valid.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        system_call!(SYS_fstat, fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == 0
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
    if len == 0 || is_nonblocking(to) || !is_allowed(from, to) {
        return returned(attempt(len));
    }
    let to_pipe = is_pipe(to);
    if !to_pipe {
        // Without a pipe, the input must be a file, which is always ready. This call moves nothing,
        // and finds out whether it is one.
        let nothing = attempt(0);
        if nothing != 0 {
            return returned(nothing);
        }
    }
    // The kernel refuses a pipe.
    let waits_for_input = to_pipe && !is_pipe(from);
    let mut input = Call::begin(caller, &"sendfile", from, Direction::Read);
    let mut output = Call::begin(caller, &"sendfile", to, Direction::Write);
    let mut done: usize = 0;
    while done < len {
        let side = missing(from, to).filter(|side| waits_for_input || *side == Direction::Write);
        if let Some(side) = side {
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
        let piece = match to_pipe {
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
unsafe fn map_into_pipe(
    caller: Caller,
    fd: c_int,
    (parts, count): (*const iovec, size_t),
    flags: c_uint,
) -> ssize_t {
    let direction = match access(fd) {
        libc::O_RDONLY => Direction::Read,
        _ => Direction::Write,
    };
    let flags = flags | libc::SPLICE_F_NONBLOCK;
    let mut call = Call::begin(caller, &"vmsplice", fd, direction);
    // SAFETY: as for the function of the C library (caller).
    let attempt = || unsafe { system_call!(SYS_vmsplice, fd, parts, count, flags) };
    let first = call.complete(attempt, || WOULD_BLOCK);
    let mut done = match usize::try_from(first) {
        // A read returns what there is.
        Ok(done) if direction == Direction::Write => done,
        _ => return first,
    };
    // SAFETY: the kernel has just accepted the parts.
    let parts = unsafe { parts_of(parts, count) };
    while let Some((base, len)) = rest_of(parts, done).next() {
        let part = iovec {
            iov_base: base.cast_mut(),
            iov_len: len,
        };
        // SAFETY: the part is valid (caller).
        let attempt = || unsafe { system_call!(SYS_vmsplice, fd, &raw const part, 1, flags) };
        match usize::try_from(call.complete(attempt, || WOULD_BLOCK)) {
            Err(_) | Ok(0) => break,
            Ok(moved) => done += moved,
        }
    }
    done.cast_signed()
}

/// Whether the descriptors are open for reading and for writing, so that the call may have to wait.
fn is_allowed(from: c_int, to: c_int) -> bool {
    access(from) != libc::O_WRONLY && access(to) != libc::O_RDONLY
}

/// Returns what a descriptor is open for: `O_RDONLY`, `O_WRONLY` or `O_RDWR`.
fn access(fd: c_int) -> c_int {
    // SAFETY: the call reads flags, and fails if `fd` is not open.
    let flags = unsafe { system_call!(SYS_fcntl, fd, libc::F_GETFL) };
    flags as c_int & libc::O_ACCMODE
}
