//! The message queues and semaphores of System V.
//!
//! They are no descriptors, so a call that would wait is made on a helper OS thread. A kill or an
//! enclosing `timeout` does not end the wait: a message could be received in that moment, and be
//! lost.

use std::ffi::{c_int, c_long, c_void};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::Caller;
use libc::{sembuf, size_t, ssize_t, timespec};

use super::helper::{Helpers, Lent};
use super::system::{WOULD_BLOCK, returned, system_call};

/// The waits. Each must be able to wait at once, because it may wait for another one.
static WAITS: Helpers = Helpers::new(usize::MAX);

hooks! {
    OS: fn msgrcv(
        queue: c_int,
        message: *mut c_void,
        len: size_t,
        kind: c_long,
        flags: c_int,
    ) -> ssize_t {
        |caller| {
            const NO_MESSAGE: isize = -(libc::ENOMSG as isize);
            let call = move |message: *mut c_void, flags: c_int| {
                system_call!(SYS_msgrcv, queue, message, len, kind, flags)
            };
            let attempt = call(message, flags | libc::IPC_NOWAIT);
            if attempt != NO_MESSAGE || flags & libc::IPC_NOWAIT != 0 {
                return returned(attempt);
            }
            let message = Lent::new(message);
            wait(caller, &"msgrcv", queue, move || call(message.get(), flags))
        }
    }

    OS: fn msgsnd(queue: c_int, message: *const c_void, len: size_t, flags: c_int) -> c_int {
        |caller| {
            let call = move |message: *const c_void, flags: c_int| {
                system_call!(SYS_msgsnd, queue, message, len, flags)
            };
            let attempt = call(message, flags | libc::IPC_NOWAIT);
            if attempt != WOULD_BLOCK || flags & libc::IPC_NOWAIT != 0 {
                return returned(attempt) as c_int;
            }
            let message = Lent::new(message);
            wait(caller, &"msgsnd", queue, move || call(message.get(), flags)) as c_int
        }
    }

    OS: fn semop(semaphores: c_int, operations: *mut sembuf, count: size_t) -> c_int {
        |_caller| semtimedop(semaphores, operations, count, std::ptr::null())
    }

    OS: fn semtimedop(
        semaphores: c_int,
        operations: *mut sembuf,
        count: size_t,
        timeout: *const timespec,
    ) -> c_int {
        |caller| {
            let call = move |operations: *mut sembuf, timeout: *const timespec| {
                system_call!(SYS_semtimedop, semaphores, operations, count, timeout)
            };
            let zero = timespec { tv_sec: 0, tv_nsec: 0 };
            let attempt = call(operations, &raw const zero);
            if attempt != WOULD_BLOCK {
                return returned(attempt) as c_int;
            }
            let lent = Lent::new((operations, timeout));
            wait(caller, &"semtimedop", semaphores, move || {
                let (operations, timeout) = lent.get();
                call(operations, timeout)
            }) as c_int
        }
    }
}

/// Makes the call that waits.
fn wait(
    caller: Caller,
    name: &'static &'static str,
    object: c_int,
    call: impl FnOnce() -> isize + Send + 'static,
) -> isize {
    let reason = WaitReason::CallOnObject(name, object as usize);
    returned(WAITS.run(caller, reason, call))
}
