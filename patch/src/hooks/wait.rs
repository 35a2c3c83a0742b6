//! Waiting in a hook for a descriptor.

use std::ffi::c_int;
use std::io;
use std::time::{Duration, Instant};

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, Registered, WaitEnd};

use super::blocking_mode::is_nonblocking;
use super::descriptors::{InUse, while_open};
use super::kinds::kind_of;
use super::readiness::is_ready;
use super::repeats;
use super::system::{WOULD_BLOCK, errno, fail, returned, set_errno, system_call};

/// What a hook does after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    TryAgain,
    /// The deadline of the call has passed.
    TimedOut,
    /// Fail with this `errno`: the green thread is being killed, an enclosing `timeout` has
    /// expired, or the descriptor was closed.
    Fail(c_int),
    /// The descriptor is always ready, so the real call does not block for long.
    IsNotPollable,
}

/// A call on a descriptor that may block, from its begin on. All waits of the call share its
/// deadline.
#[derive(Debug)]
pub(super) struct Call {
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    direction: Direction,
    in_use: InUse,
    /// Unknown until the first wait.
    limits: Option<Limits>,
    /// From the first wait on.
    registered: Option<Registered>,
}

/// What ends the waits of a call early.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Option<Instant>,
    pub(super) interruption: Interruption,
}

/// The time after which a call is tried again where no event says that it can go on.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

impl Call {
    /// Begins a call.
    ///
    /// Its limits are those of the descriptor. A socket has timeouts, and reports a kill or an
    /// enclosing `timeout` as an error. An error for a pipe or a terminal would be taken for a
    /// defect, so there both wait for the end of the call.
    pub(super) fn begin(
        caller: Caller,
        name: &'static &'static str,
        fd: c_int,
        direction: Direction,
    ) -> Self {
        Self {
            caller,
            name,
            fd,
            direction,
            in_use: InUse::begin(fd),
            limits: None,
            registered: None,
        }
    }

    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self {
            limits: Some(limits),
            ..self
        }
    }

    /// Repeats `attempt` until it does not return "would block", and returns its result as the C
    /// library does. `attempt` does not block, and returns what the kernel returns. If the
    /// descriptor is always ready, or the program has made it non-blocking, `blocking` is called.
    pub(super) fn complete(
        &mut self,
        mut attempt: impl FnMut() -> isize,
        blocking: impl FnOnce() -> isize,
    ) -> isize {
        let mut result = attempt();
        if result == WOULD_BLOCK && is_nonblocking(self.fd) {
            // A regular file waits for the disk anyway.
            return returned(blocking());
        }
        while result == WOULD_BLOCK {
            result = match self.wait() {
                Next::TryAgain => attempt(),
                Next::TimedOut => return fail(libc::EAGAIN),
                Next::Fail(errno) => return fail(errno),
                Next::IsNotPollable => return returned(blocking()),
            };
        }
        returned(result)
    }

    /// Like [`complete`](Self::complete), for what is left after `done` bytes. An error then ends
    /// the call, and only a first one is reported.
    pub(super) fn complete_after(
        &mut self,
        done: usize,
        attempt: impl FnMut() -> isize,
        blocking: impl FnOnce() -> isize,
    ) -> isize {
        let before = errno();
        let result = self.complete(attempt, blocking);
        if result < 0 && done > 0 {
            set_errno(before);
        }
        result
    }

    /// Parks until the descriptor may be ready. Leaves `errno` as it was.
    ///
    /// A green thread that is being killed gets an error at once, and so does one whose enclosing
    /// `timeout` has expired. Code that does not take it for an answer repeats the call, so each
    /// error lets the others run.
    pub(super) fn wait(&mut self) -> Next {
        let events = match self.direction {
            Direction::Write => libc::POLLOUT,
            _ => libc::POLLIN,
        };
        if self.registered.is_some() && is_ready(self.fd, events) {
            // The last event has brought nothing, and no further one can be expected: a datagram
            // may have to wait for room at its receiver, which has another socket.
            return self.pause(PAUSE);
        }
        let limits = self.limits();
        let errno = errno();
        let next = self.park(limits);
        set_errno(errno);
        next
    }

    fn park(&mut self, limits: Limits) -> Next {
        let reason = WaitReason::CallOnDescriptor(self.name, self.fd);
        let wanted = [(self.fd, self.direction)];
        let registered = &mut self.registered;
        let parked = while_open(self.caller, &[self.in_use], &mut || {
            let Limits {
                deadline,
                interruption,
            } = limits;
            let registered = match registered {
                Some(registered) => registered,
                None => registered.insert(self.caller.register(&wanted)?),
            };
            io::Result::Ok(registered.wait(reason, deadline, interruption))
        });
        let Some(end) = parked else {
            return Next::Fail(libc::EBADF);
        };
        if matches!(end, Ok(WaitEnd::Elapsed | WaitEnd::Killed)) {
            repeats::before_error(self.caller);
        }
        match end {
            Ok(WaitEnd::TimedOut) => Next::TimedOut,
            Ok(WaitEnd::Elapsed) => Next::Fail(libc::ETIMEDOUT),
            Ok(WaitEnd::Killed) => Next::Fail(libc::ECANCELED),
            Ok(WaitEnd::Deadlocked) => Next::Fail(libc::EDEADLK),
            Ok(_) => {
                repeats::forget_errors();
                Next::TryAgain
            }
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Next::IsNotPollable,
            Err(error) => Next::Fail(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// Parks for `pause`, where no event says that the call can go on.
    pub(super) fn pause(&mut self, pause: Duration) -> Next {
        let limits = self.limits();
        let errno = errno();
        let at = self.caller.deadline_after(pause);
        let until = limits.deadline.into_iter().chain(at).min();
        let reason = WaitReason::CallOnDescriptor(self.name, self.fd);
        let end = self.caller.park(reason, until, limits.interruption);
        if matches!(end, WaitEnd::Elapsed | WaitEnd::Killed) {
            repeats::before_error(self.caller);
        }
        set_errno(errno);
        match end {
            WaitEnd::Elapsed => Next::Fail(libc::ETIMEDOUT),
            WaitEnd::Killed => Next::Fail(libc::ECANCELED),
            _ if self.in_use.is_over() => Next::Fail(libc::EBADF),
            _ if limits.deadline.is_some_and(|at| at <= Instant::now()) => Next::TimedOut,
            _ => Next::TryAgain,
        }
    }

    fn limits(&mut self) -> Limits {
        let of_descriptor = || match kind_of(self.fd) == Some(libc::S_IFSOCK) {
            true => Limits {
                deadline: timeout_of(self.fd, self.direction)
                    .and_then(|timeout| self.caller.deadline_after(timeout)),
                interruption: Interruption::Ends,
            },
            false => Limits {
                deadline: None,
                interruption: Interruption::Waits,
            },
        };
        *self.limits.get_or_insert_with(of_descriptor)
    }
}

/// Returns the timeout of a socket for one direction: `SO_RCVTIMEO` or `SO_SNDTIMEO`.
fn timeout_of(fd: c_int, direction: Direction) -> Option<Duration> {
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
