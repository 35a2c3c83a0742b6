//! The message queues of POSIX. A queue is a descriptor that can be polled.
//!
//! A kill or an enclosing `timeout` does not end these waits, as for pipes.

use std::ffi::{c_char, c_int, c_uint};
use std::ptr;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::{Caller, Interruption};
use libc::{mqd_t, size_t, ssize_t, timespec};

use super::system::{fail, returned, system_call};
use super::time::{duration, remaining_until};
use super::wait::{Call, Limits, Next};

hooks! {
    OS: fn mq_receive(
        queue: mqd_t,
        message: *mut c_char,
        len: size_t,
        priority: *mut c_uint,
    ) -> ssize_t {
        |caller| complete(caller, &"mq_receive", queue, Direction::Read, ptr::null(), |now| {
            system_call!(SYS_mq_timedreceive, queue, message, len, priority, now)
        })
    }

    OS: fn mq_timedreceive(
        queue: mqd_t,
        message: *mut c_char,
        len: size_t,
        priority: *mut c_uint,
        deadline: *const timespec,
    ) -> ssize_t {
        |caller| complete(caller, &"mq_timedreceive", queue, Direction::Read, deadline, |now| {
            system_call!(SYS_mq_timedreceive, queue, message, len, priority, now)
        })
    }

    OS: fn mq_send(
        queue: mqd_t,
        message: *const c_char,
        len: size_t,
        priority: c_uint,
    ) -> c_int {
        |caller| complete(caller, &"mq_send", queue, Direction::Write, ptr::null(), |now| {
            system_call!(SYS_mq_timedsend, queue, message, len, priority, now)
        }) as c_int
    }

    OS: fn mq_timedsend(
        queue: mqd_t,
        message: *const c_char,
        len: size_t,
        priority: c_uint,
        deadline: *const timespec,
    ) -> c_int {
        |caller| complete(caller, &"mq_timedsend", queue, Direction::Write, deadline, |now| {
            system_call!(SYS_mq_timedsend, queue, message, len, priority, now)
        }) as c_int
    }
}

/// Makes a call on a queue, which fails with `ETIMEDOUT` at `deadline`, if that is not null.
///
/// `attempt` is given a deadline, and returns what the kernel returns. With one that has passed, it
/// does not wait.
///
/// # Safety
///
/// `deadline` is valid or null.
unsafe fn complete(
    caller: Caller,
    name: &'static &'static str,
    queue: mqd_t,
    direction: Direction,
    deadline: *const timespec,
    attempt: impl Fn(*const timespec) -> isize,
) -> isize {
    const WOULD_WAIT: isize = -(libc::ETIMEDOUT as isize);
    let past = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: valid or null (caller).
    let left = match unsafe { deadline.as_ref() }.map(duration) {
        // The kernel finds the error.
        Some(None) => return returned(attempt(deadline)),
        Some(Some(at)) => Some(remaining_until(libc::CLOCK_REALTIME, at)),
        None => None,
    };
    let mut call = Call::begin(caller, name, queue, direction).with_limits(Limits {
        deadline: left.and_then(|left| caller.deadline_after(left)),
        interruption: Interruption::Waits,
    });
    loop {
        let result = attempt(&raw const past);
        if result != WOULD_WAIT {
            return returned(result);
        }
        match call.wait() {
            Next::TryAgain => {}
            Next::TimedOut => return fail(libc::ETIMEDOUT),
            Next::Fail(errno) => return fail(errno),
            Next::IsNotPollable => return fail(libc::EBADF),
        }
    }
}
