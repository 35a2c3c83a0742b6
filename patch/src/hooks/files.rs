//! Reads and writes of any descriptor: pipes, terminals, sockets, event descriptors.
//!
//! A read or a write is first tried with `RWF_NOWAIT`. Where the kernel does not know that, for
//! terminals and pipes with a name among others, the descriptor is polled first. Regular files are
//! always ready, so they block for as long as the disk takes.
//!
//! Standard output and standard error are written to without parking. Panic messages and logs go
//! there, from everywhere.

use std::ffi::{c_int, c_void};

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::Caller;
use libc::{iovec, size_t, ssize_t};

use super::blocking_mode::is_nonblocking;
use super::readiness::is_ready;
use super::system::{WOULD_BLOCK, returned, system_call};
use super::wait::Call;

hooks! {
    OS: fn read(fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t {
        |caller| {
            let part = [iovec { iov_base: buffer, iov_len: len }];
            read_parts(caller, &"read", fd, &part, || system_call!(SYS_read, fd, buffer, len))
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
        |caller| {
            let Some(list) = parts_of(parts, count) else {
                return real::readv(fd, parts, count);
            };
            read_parts(caller, &"readv", fd, list, || system_call!(SYS_readv, fd, parts, count))
        }
    }

    OS: fn write(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t {
        |caller| {
            let part = [iovec { iov_base: buffer.cast_mut(), iov_len: len }];
            write_parts(caller, &"write", fd, &part)
        }
    }

    OS: fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        |caller| {
            let Some(list) = parts_of(parts, count) else {
                return real::writev(fd, parts, count);
            };
            write_parts(caller, &"writev", fd, list)
        }
    }
}

/// The largest write to a pipe that is not split, and that never blocks if the pipe is writable.
pub(super) const PIPE_BUF: usize = 4096;

/// Returns the parts as a slice, if the kernel would accept their number.
///
/// # Safety
///
/// `parts` points to `count` valid parts.
pub(super) unsafe fn parts_of<'a>(parts: *const iovec, count: c_int) -> Option<&'a [iovec]> {
    let count = usize::try_from(count)
        .ok()
        .filter(|count| (1..=1024).contains(count) && !parts.is_null())?;
    // SAFETY: valid (caller).
    Some(unsafe { std::slice::from_raw_parts(parts, count) })
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
fn len_of(parts: &[iovec]) -> usize {
    let lens = parts.iter().map(|part| part.iov_len);
    lens.fold(0, usize::saturating_add)
}

/// Whether the kernel has refused `RWF_NOWAIT` for this kind of descriptor.
fn is_refused(result: isize) -> bool {
    [libc::EOPNOTSUPP, libc::EINVAL, libc::ESPIPE, libc::ENOSYS]
        .into_iter()
        .any(|errno| result == -(errno as isize))
}

unsafe fn read_parts(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    parts: &[iovec],
    blocking: impl Fn() -> isize,
) -> ssize_t {
    if len_of(parts) == 0 {
        // It does not wait.
        return returned(blocking());
    }
    let attempt = || {
        // SAFETY: the parts are writable (caller). The offset of -1 is the current position.
        let result = unsafe {
            system_call!(
                SYS_preadv2,
                fd,
                parts.as_ptr(),
                parts.len(),
                usize::MAX,
                usize::MAX,
                libc::RWF_NOWAIT
            )
        };
        if !is_refused(result) {
            return result;
        }
        if is_ready(fd, libc::POLLIN) || is_nonblocking(fd) {
            return blocking();
        }
        WOULD_BLOCK
    };
    Call::begin(caller, name, fd, Direction::Read).complete(attempt, &blocking)
}

unsafe fn write_parts(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    parts: &[iovec],
) -> ssize_t {
    // SAFETY: the parts are readable (caller).
    let blocking = || unsafe { system_call!(SYS_writev, fd, parts.as_ptr(), parts.len()) };
    let len = len_of(parts);
    let is_unchanged = fd == libc::STDOUT_FILENO || fd == libc::STDERR_FILENO;
    // The kernel refuses more bytes than memory has, and does not wait for none.
    if is_unchanged || len == 0 || isize::try_from(len).is_err() {
        return returned(blocking());
    }
    let mut call = Call::begin(caller, name, fd, Direction::Write);
    let mut done = 0;
    loop {
        let rest = rest_of(parts, done);
        // SAFETY: the parts are readable (caller).
        let written = unsafe { write_some(&mut call, fd, rest, &blocking, done == 0) };
        match usize::try_from(written) {
            Err(_) if done == 0 => return written,
            Err(_) | Ok(0) => return done.cast_signed(),
            Ok(written) => done += written,
        }
        if done >= len || is_nonblocking(fd) {
            return done.cast_signed();
        }
    }
}

/// Writes some of the parts. `is_first` says that they are all parts of the call.
unsafe fn write_some(
    call: &mut Call,
    fd: c_int,
    parts: impl Iterator<Item = (*const c_void, usize)>,
    blocking: &impl Fn() -> isize,
    is_first: bool,
) -> ssize_t {
    /// The number of parts that are written at once.
    const AT_ONCE: usize = 16;
    let mut some = [const {
        iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }
    }; AT_ONCE];
    let mut count = 0;
    for (slot, (base, len)) in some.iter_mut().zip(parts) {
        slot.iov_base = base.cast_mut();
        slot.iov_len = len;
        count += 1;
    }
    let some = &some[..count];
    let attempt = || {
        // SAFETY: the parts are readable (caller).
        unsafe {
            let result = system_call!(
                SYS_pwritev2,
                fd,
                some.as_ptr(),
                count,
                usize::MAX,
                usize::MAX,
                libc::RWF_NOWAIT
            );
            if !is_refused(result) {
                return result;
            }
            if is_nonblocking(fd) {
                return system_call!(SYS_writev, fd, some.as_ptr(), count);
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
    let all = || match is_first {
        true => blocking(),
        // SAFETY: the parts are readable (caller).
        false => unsafe { system_call!(SYS_writev, fd, some.as_ptr(), count) },
    };
    call.complete(attempt, all)
}
