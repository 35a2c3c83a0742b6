//! Reads and writes of any descriptor: pipes, terminals, sockets, event descriptors.
//!
//! A read or a write is first tried with `RWF_NOWAIT`. Where the kernel does not know that, for
//! terminals and pipes with a name among others, the descriptor is polled first. Regular files are
//! always ready, so they block for as long as the disk takes.
//!
//! Standard output and standard error are written to without parking. Panic messages and logs go
//! there, from everywhere.

use std::ffi::{c_int, c_long, c_void};

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::Caller;
use libc::{iovec, size_t, ssize_t};

use super::blocking_mode::{is_nonblocking, without_blocking};
use super::kinds::is_anonymous;
use super::readiness::{has_ended, is_ready};
use super::system::{self, WOULD_BLOCK, returned, system_call};
use super::wait::Call;

hooks! {
    OS: fn read(fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t {
        |caller| {
            let blocking = || system_call!(SYS_read, fd, buffer, len);
            if len == 0 {
                // It does not wait.
                return returned(blocking());
            }
            let part = iovec { iov_base: buffer, iov_len: len };
            read_parts(caller, &"read", fd, (&raw const part, 1), blocking)
        }
    }

    OS: fn __read_chk(fd: c_int, buffer: *mut c_void, len: size_t, buffer_len: size_t) -> ssize_t {
        |_caller| {
            if len > buffer_len {
                // It reports the overflow, and aborts.
                return real::__read_chk(fd, buffer, len, buffer_len);
            }
            read(fd, buffer, len)
        }
    }

    OS: fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        |caller| read_parts(caller, &"readv", fd, (parts, count), || {
            system_call!(SYS_readv, fd, parts, count)
        })
    }

    OS: fn write(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t {
        |caller| {
            let blocking = || system_call!(SYS_write, fd, buffer, len);
            if len == 0 {
                // It does not wait, but may send an empty datagram.
                return returned(blocking());
            }
            let part = iovec { iov_base: buffer.cast_mut(), iov_len: len };
            write_parts(caller, &"write", fd, (&raw const part, 1), blocking)
        }
    }

    OS: fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        |caller| write_parts(caller, &"writev", fd, (parts, count), || {
            system_call!(SYS_writev, fd, parts, count)
        })
    }
}

/// The largest write to a pipe that is not split, and that never blocks if the pipe is writable.
const PIPE_BUF: usize = 4096;

/// The most bytes that the kernel moves in one call.
const MOST_AT_ONCE: usize = 0x7fff_f000;

/// Returns the parts as a slice.
///
/// # Safety
///
/// The kernel has accepted them in a call, so they are valid.
unsafe fn parts_of<'a>(parts: *const iovec, count: usize) -> &'a [iovec] {
    match count {
        0 => &[],
        // SAFETY: valid (caller).
        _ => unsafe { std::slice::from_raw_parts(parts, count) },
    }
}

/// Returns what is left of the parts after the first `done` bytes.
pub(super) fn rest_of(
    parts: &[iovec],
    mut done: usize,
) -> impl Iterator<Item = (*const c_void, usize)> {
    parts.iter().filter_map(move |part| {
        let skipped = done.min(part.iov_len);
        done -= skipped;
        let left = part.iov_len - skipped;
        (left > 0).then(|| (part.iov_base.wrapping_byte_add(skipped).cast_const(), left))
    })
}

/// Returns the number of bytes of all parts.
pub(super) fn len_of(parts: &[iovec]) -> usize {
    let lens = parts.iter().map(|part| part.iov_len);
    lens.fold(0, usize::saturating_add)
}

/// Whether the kernel has refused `RWF_NOWAIT` for this kind of descriptor.
fn is_refused(result: isize) -> bool {
    [libc::EOPNOTSUPP, libc::ENOSYS]
        .into_iter()
        .any(|errno| result == -(errno as isize))
}

/// Reads into parts that the kernel judges.
unsafe fn read_parts(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    (parts, count): (*const iovec, c_int),
    blocking: impl Fn() -> isize,
) -> ssize_t {
    let attempt = || {
        // SAFETY: as for the function of the C library (caller).
        let result = unsafe { at_once(libc::SYS_preadv2, fd, parts, count) };
        let does_not_block = match result {
            // Of datagrams, only a call that may block reports the end.
            WOULD_BLOCK => has_ended(fd),
            _ if is_refused(result) => is_ready(fd, libc::POLLIN) || is_nonblocking(fd),
            _ => return result,
        };
        match does_not_block {
            true => blocking(),
            false => WOULD_BLOCK,
        }
    };
    Call::begin(caller, name, fd, Direction::Read).complete(attempt, &blocking)
}

/// Writes parts that the kernel judges.
unsafe fn write_parts(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    (parts, count): (*const iovec, c_int),
    blocking: impl Fn() -> isize,
) -> ssize_t {
    if fd == libc::STDOUT_FILENO || fd == libc::STDERR_FILENO {
        return returned(blocking());
    }
    let mut call = Call::begin(caller, name, fd, Direction::Write);
    // SAFETY: as for the function of the C library (caller).
    let first = unsafe { at_once(libc::SYS_pwritev2, fd, parts, count) };
    let mut done = match usize::try_from(first) {
        Ok(done) => done,
        Err(_) if is_refused(first) && is_nonblocking(fd) => return returned(blocking()),
        Err(_) if first == WOULD_BLOCK || is_refused(first) => 0,
        Err(_) => return returned(first),
    };
    // SAFETY: the kernel has just accepted the parts.
    let parts = unsafe { parts_of(parts, count as usize) };
    let len = len_of(parts).min(MOST_AT_ONCE);
    while done < len && (done == 0 || !is_nonblocking(fd)) {
        let rest = rest_of(parts, done);
        // SAFETY: the parts are readable (caller).
        let written = unsafe { write_some(&mut call, fd, rest, &blocking, done) };
        match usize::try_from(written) {
            Err(_) if done == 0 => return written,
            Err(_) | Ok(0) => break,
            Ok(written) => done += written,
        }
    }
    done.cast_signed()
}

/// Reads or writes at the current position, without blocking. Returns what the kernel returns.
///
/// # Safety
///
/// `number` is that of `preadv2` or `pwritev2`. The parts that the kernel accepts are valid.
unsafe fn at_once(number: c_long, fd: c_int, parts: *const iovec, count: c_int) -> isize {
    // An offset of -1 is the current position.
    let (position, flags) = (usize::MAX, libc::RWF_NOWAIT as usize);
    let arguments = [
        fd as usize,
        parts.expose_provenance(),
        count as usize,
        position,
        position,
        flags,
    ];
    // SAFETY: the kernel checks the arguments, and the parts are valid (caller).
    unsafe { system::call(number, arguments) }
}

/// Writes some of the parts, after `done` bytes.
unsafe fn write_some(
    call: &mut Call,
    fd: c_int,
    parts: impl Iterator<Item = (*const c_void, usize)>,
    blocking: &impl Fn() -> isize,
    done: usize,
) -> ssize_t {
    /// The number of parts that are written at once.
    const AT_ONCE: usize = 16;
    let mut some = [const {
        iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }
    }; AT_ONCE];
    let mut count = 0_u8;
    for (slot, (base, len)) in some.iter_mut().zip(parts) {
        slot.iov_base = base.cast_mut();
        slot.iov_len = len;
        count += 1;
    }
    let (some, count) = (&some[..count.into()], c_int::from(count));
    let attempt = || {
        // SAFETY: the parts are readable (caller).
        unsafe {
            let result = at_once(libc::SYS_pwritev2, fd, some.as_ptr(), count);
            if !is_refused(result) {
                return result;
            }
            if is_nonblocking(fd) {
                return system_call!(SYS_writev, fd, some.as_ptr(), count);
            }
            if is_anonymous(fd) {
                // An event descriptor that is writable may have no room for as much.
                return without_blocking(fd, || system_call!(SYS_writev, fd, some.as_ptr(), count));
            }
            if !is_ready(fd, libc::POLLOUT) {
                return WOULD_BLOCK;
            }
            // A descriptor that is writable has room for as much.
            match some.first() {
                Some(part) => {
                    let len = part.iov_len.min(PIPE_BUF);
                    system_call!(SYS_write, fd, part.iov_base, len)
                }
                None => system_call!(SYS_writev, fd, some.as_ptr(), count),
            }
        }
    };
    let all = || match done {
        0 => blocking(),
        // SAFETY: the parts are readable (caller).
        _ => unsafe { system_call!(SYS_writev, fd, some.as_ptr(), count) },
    };
    call.complete_after(done, attempt, all)
}
