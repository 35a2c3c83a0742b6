//! Message queues and semaphores that processes share, of POSIX and of System V.
//!
//! A queue of POSIX is a descriptor, which has events. A call with a time that has passed does not
//! block. Those of System V have neither, so a call that would block is made on a helper OS thread.

use std::ffi::{c_char, c_int, c_long, c_uint, c_void};
use std::ptr;
use std::time::Duration;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption};
use libc::{mqd_t, sembuf, size_t, ssize_t, timespec};

use super::helper::{Helpers, Lent};
use super::readiness::AT_ONCE;
use super::system::{WOULD_BLOCK, fail, returned, system_call};
use super::time::{limit, remaining_until};
use super::wait::{Call, Limits, Next};

/// The waits. Each must be able to wait at once, because one may end another.
static WAITS: Helpers = Helpers::new(usize::MAX);

hooks! {
    OS: fn mq_receive(
        queue: mqd_t,
        buffer: *mut c_char,
        len: size_t,
        priority: *mut c_uint,
    ) -> ssize_t {
        |_caller| mq_timedreceive(queue, buffer, len, priority, ptr::null())
    }

    OS: fn mq_timedreceive(
        queue: mqd_t,
        buffer: *mut c_char,
        len: size_t,
        priority: *mut c_uint,
        until: *const timespec,
    ) -> ssize_t {
        |caller| match limit(until) {
            Some(until) => on_queue(caller, &"mq_receive", queue, Direction::Read, until, |now| {
                system_call!(SYS_mq_timedreceive, queue, buffer, len, priority, now)
            }),
            None => real::mq_timedreceive(queue, buffer, len, priority, until),
        }
    }

    OS: fn mq_send(
        queue: mqd_t,
        message: *const c_char,
        len: size_t,
        priority: c_uint,
    ) -> c_int {
        |_caller| mq_timedsend(queue, message, len, priority, ptr::null())
    }

    OS: fn mq_timedsend(
        queue: mqd_t,
        message: *const c_char,
        len: size_t,
        priority: c_uint,
        until: *const timespec,
    ) -> c_int {
        |caller| match limit(until) {
            Some(until) => on_queue(caller, &"mq_send", queue, Direction::Write, until, |now| {
                system_call!(SYS_mq_timedsend, queue, message, len, priority, now)
            }) as c_int,
            None => real::mq_timedsend(queue, message, len, priority, until),
        }
    }

    OS: fn msgrcv(
        queue: c_int,
        message: *mut c_void,
        len: size_t,
        kind: c_long,
        flags: c_int,
    ) -> ssize_t {
        |caller| {
            let at_once = flags | libc::IPC_NOWAIT;
            let found = system_call!(SYS_msgrcv, queue, message, len, kind, at_once);
            if found != -(libc::ENOMSG as isize) || at_once == flags {
                return returned(found);
            }
            let message = Lent::new(message);
            wait(caller, "a message of System V", move || {
                system_call!(SYS_msgrcv, queue, message.get(), len, kind, flags)
            })
        }
    }

    OS: fn msgsnd(queue: c_int, message: *const c_void, len: size_t, flags: c_int) -> c_int {
        |caller| {
            let at_once = flags | libc::IPC_NOWAIT;
            let sent = system_call!(SYS_msgsnd, queue, message, len, at_once);
            if sent != WOULD_BLOCK || at_once == flags {
                return returned(sent) as c_int;
            }
            let message = Lent::new(message);
            wait(caller, "room for a message of System V", move || {
                system_call!(SYS_msgsnd, queue, message.get(), len, flags)
            }) as c_int
        }
    }

    OS: fn semop(semaphores: c_int, operations: *mut sembuf, count: size_t) -> c_int {
        |_caller| semtimedop(semaphores, operations, count, ptr::null())
    }

    OS: fn semtimedop(
        semaphores: c_int,
        operations: *mut sembuf,
        count: size_t,
        timeout: *const timespec,
    ) -> c_int {
        |caller| {
            if limit(timeout).is_none() {
                return real::semtimedop(semaphores, operations, count, timeout);
            }
            let now = AT_ONCE;
            let done = system_call!(SYS_semtimedop, semaphores, operations, count, &raw const now);
            if done != WOULD_BLOCK {
                return returned(done) as c_int;
            }
            let lent = Lent::new((operations, timeout));
            wait(caller, "a semaphore of System V", move || {
                let (operations, timeout) = lent.get();
                system_call!(SYS_semtimedop, semaphores, operations, count, timeout)
            }) as c_int
        }
    }
}

/// Makes a call of a queue of POSIX. `attempt` gets a time that has passed. `until` is that of the
/// call, on the clock of the day.
fn on_queue(
    caller: Caller,
    name: &'static &'static str,
    queue: mqd_t,
    direction: Direction,
    until: Option<Duration>,
    attempt: impl Fn(*const timespec) -> isize,
) -> ssize_t {
    let deadline = || {
        let left = remaining_until(libc::CLOCK_REALTIME, until?);
        caller.deadline_after(left)
    };
    let mut call = Call::begin(caller, name, queue, direction).with_limits(Limits {
        deadline: deadline(),
        interruption: Interruption::Waits,
    });
    let now = AT_ONCE;
    loop {
        let result = attempt(&raw const now);
        if result != -(libc::ETIMEDOUT as isize) {
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

/// Makes a call that waits, on a helper OS thread.
fn wait(
    caller: Caller,
    what: &'static str,
    call: impl FnOnce() -> isize + Send + 'static,
) -> isize {
    returned(WAITS.run(caller, WaitReason::Other(what), call))
}
