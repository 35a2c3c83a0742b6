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
use super::kinds::{is_anonymous, kind_of};
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
        |caller| {
            let attempt = |len, flags| {
                system_call!(SYS_splice, from, from_offset, to, to_offset, len, flags)
            };
            let is_sound = may_have(from, from_offset) && may_have(to, to_offset);
            match is_sound && (is_pipe(from) || is_pipe(to)) {
                true => between(caller, &"splice", (from, to), len, flags, attempt),
                false => returned(attempt(len, flags)),
            }
        }
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
        |caller| {
            let attempt = |len| system_call!(SYS_sendfile, to, from, offset, len);
            match may_have(from, offset) {
                true => send_all(caller, (from, to), len, attempt),
                false => returned(attempt(len)),
            }
        }
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
    if flags & libc::SPLICE_F_NONBLOCK != 0 || !is_allowed(from, to) || len == 0 {
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
            if result != WOULD_BLOCK {
                return returned(result);
            }
        }
        let call = match missing {
            Some(Direction::Read) => &mut input,
            _ => &mut output,
        };
        // Of two pipes, the kernel asks both. Otherwise it asks the one that it waits for.
        let both = is_pipe(from) && is_pipe(to);
        if is_nonblocking(fd) || both && (is_nonblocking(from) || is_nonblocking(to)) {
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
        // The kernel waits for room in a pipe before it asks anything else than a pipe.
        (0, 0) if is_pipe(to) && !is_pipe(from) => Some(Direction::Write),
        (0, _) => Some(Direction::Read),
        (_, 0) => Some(Direction::Write),
        _ => None,
    };
    // The kernel moves no data from event descriptors and the like, and says so at once.
    side.filter(|_| !is_anonymous(from) && !is_anonymous(to))
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

/// Moves data from a file to a descriptor. Like the kernel, returns once everything has moved, or
/// some into a pipe.
fn send_all(
    caller: Caller,
    (from, to): (c_int, c_int),
    len: size_t,
    attempt: impl Fn(size_t) -> isize,
) -> ssize_t {
    let is_file = kind_of(from) != Some(libc::S_IFDIR);
    if len == 0 || is_nonblocking(to) || !is_allowed(from, to) || !is_file {
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
        if side == Some(Direction::Read) && is_nonblocking(from) {
            return returned(attempt(len));
        }
        if let Some(side) = side {
            let call = match side {
                Direction::Read => &mut input,
                _ => &mut output,
            };
            let errno = match call.wait() {
                Next::TryAgain => continue,
                Next::TimedOut => libc::EAGAIN,
                Next::Fail(errno) => errno,
                Next::IsNotPollable => return returned(attempt(len - done)),
            };
            if done == 0 {
                return fail(errno);
            }
            break;
        }
        if to_pipe {
            return returned(attempt(len));
        }
        let moved = attempt(room(to).min(len - done));
        match usize::try_from(moved) {
            Err(_) if done == 0 => return returned(moved),
            Err(_) | Ok(0) => break,
            Ok(moved) => done += moved,
        }
    }
    done.cast_signed()
}

/// Whether a descriptor may have this offset. Otherwise the call fails at once.
fn may_have(fd: c_int, offset: *const i64) -> bool {
    // SAFETY: the call takes numbers only.
    offset.is_null() || unsafe { system_call!(SYS_lseek, fd, 0, libc::SEEK_CUR) >= 0 }
}

fn is_pipe(fd: c_int) -> bool {
    // SAFETY: the call returns a number, and fails if `fd` is not an open pipe.
    unsafe { system_call!(SYS_fcntl, fd, libc::F_GETPIPE_SZ) >= 0 }
}

/// Maps memory into a pipe, or reads from one. Like the kernel, returns once some has moved, and
/// does not ask whether the description is non-blocking.
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
    let mut call = Call::begin(caller, &"vmsplice", fd, direction);
    loop {
        let flags = flags | libc::SPLICE_F_NONBLOCK;
        // SAFETY: as for the function of the C library (caller).
        let moved = unsafe { system_call!(SYS_vmsplice, fd, parts, count, flags) };
        if moved != WOULD_BLOCK {
            return returned(moved);
        }
        match call.wait() {
            Next::TryAgain => {}
            Next::Fail(errno) => return fail(errno),
            Next::TimedOut | Next::IsNotPollable => return fail(libc::EAGAIN),
        }
    }
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
