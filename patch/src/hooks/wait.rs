//! Waiting in a hook for a descriptor.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd};

use super::system::{WOULD_BLOCK, errno, fail, returned, set_errno, system_call};

/// What a hook does after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    TryAgain,
    /// The deadline of the call has passed.
    TimedOut,
    /// Fail with this `errno`, because the green thread is being killed or an enclosing `timeout` has
    /// expired.
    Fail(c_int),
    /// The descriptor is always ready, so the real call does not block for long.
    IsNotPollable,
}

/// Parks until a descriptor may be ready. Leaves `errno` as it was.
///
/// A green thread that is being killed gets an error at once, and so does one whose enclosing `timeout`
/// has expired. Code that does not take it for an answer repeats the call, so each error lets the
/// others run.
pub(super) fn wait_for_descriptor(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    direction: Direction,
    deadline: Option<Instant>,
    interruption: Interruption,
) -> Next {
    let errno = errno();
    let reason = WaitReason::CallOnDescriptor(name, fd);
    let end = caller.wait_for_descriptors(&[(fd, direction)], reason, deadline, interruption);
    if matches!(end, Ok(WaitEnd::Elapsed | WaitEnd::Killed)) {
        caller.yield_now();
    }
    set_errno(errno);
    match end {
        Ok(WaitEnd::TimedOut) => Next::TimedOut,
        Ok(WaitEnd::Elapsed) => Next::Fail(libc::ETIMEDOUT),
        Ok(WaitEnd::Killed) => Next::Fail(libc::ECANCELED),
        Ok(WaitEnd::Deadlocked) => Next::Fail(libc::EDEADLK),
        Ok(_) => Next::TryAgain,
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Next::IsNotPollable,
        Err(error) => Next::Fail(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// Makes a call on a socket that may block. `attempt` makes it without blocking, and returns what the
/// kernel returns.
pub(super) fn on_socket(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    direction: Direction,
    mut attempt: impl FnMut() -> isize,
) -> isize {
    let result = attempt();
    if result != WOULD_BLOCK {
        return returned(result);
    }
    if is_nonblocking(fd) {
        return fail(libc::EAGAIN);
    }
    let deadline = timeout_of(fd, direction).and_then(|timeout| caller.deadline_after(timeout));
    loop {
        let next = wait_for_descriptor(caller, name, fd, direction, deadline, Interruption::Ends);
        match next {
            Next::TryAgain => {}
            Next::TimedOut | Next::IsNotPollable => return fail(libc::EAGAIN),
            Next::Fail(errno) => return fail(errno),
        }
        let result = attempt();
        if result != WOULD_BLOCK {
            return returned(result);
        }
    }
}

/// Whether the description has `O_NONBLOCK`.
pub(super) fn is_nonblocking(fd: c_int) -> bool {
    // SAFETY: the call reads flags, and fails if `fd` is not open.
    let flags = unsafe { system_call!(SYS_fcntl, fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK as isize != 0
}

/// Returns the timeout of a socket for one direction: `SO_RCVTIMEO` or `SO_SNDTIMEO`.
pub(super) fn timeout_of(fd: c_int, direction: Direction) -> Option<Duration> {
    let option = match direction {
        Direction::Write => libc::SO_SNDTIMEO,
        _ => libc::SO_RCVTIMEO,
    };
    let mut value = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let mut len = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the pointers are valid, and the kernel writes at most `len` bytes.
    let result = unsafe {
        system_call!(
            SYS_getsockopt,
            fd,
            libc::SOL_SOCKET,
            option,
            &raw mut value,
            &raw mut len
        )
    };
    let seconds = u64::try_from(value.tv_sec).unwrap_or(0);
    let timeout = Duration::from_secs(seconds) + Duration::from_micros(value.tv_usec as u64);
    (result == 0 && !timeout.is_zero()).then_some(timeout)
}
