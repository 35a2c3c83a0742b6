//! Locks of files. One that is held is waited for on a helper OS thread: no event says that it is
//! free.
//!
//! A kill or an enclosing `timeout` does not end the wait. The lock could be acquired in that
//! moment, and stay held.

use std::ffi::{c_int, c_short};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::Caller;
use libc::off_t;

use super::descriptors::InUse;
use super::helper::{Helpers, Lent};
use super::system::{WOULD_BLOCK, returned, system_call};

/// The waits. Each must be able to wait at once, because it may hold another lock.
static WAITS: Helpers = Helpers::new(usize::MAX);

hooks! {
    OS: fn flock(fd: c_int, operation: c_int) -> c_int {
        |caller| {
            let in_use = InUse::begin(fd);
            let attempt = system_call!(SYS_flock, fd, operation | libc::LOCK_NB);
            if attempt != WOULD_BLOCK || operation & libc::LOCK_NB != 0 {
                return returned(attempt) as c_int;
            }
            wait(caller, &"flock", fd, in_use, move || system_call!(SYS_flock, fd, operation))
        }
    }

    OS: fn lockf(fd: c_int, command: c_int, len: off_t) -> c_int {
        |caller| {
            if command != libc::F_LOCK {
                return real::lockf(fd, command, len);
            }
            let mut lock = range(len);
            lock_range(caller, fd, libc::F_SETLKW, (&raw mut lock).expose_provenance())
        }
    }

    OS: fn lockf64(fd: c_int, command: c_int, len: off_t) -> c_int {
        |_caller| lockf(fd, command, len)
    }
}

/// Makes the call `fcntl` with a command that waits for a lock.
pub(super) unsafe fn lock_range(
    caller: Caller,
    fd: c_int,
    command: c_int,
    argument: usize,
) -> c_int {
    let attempt = match command {
        libc::F_SETLKW => libc::F_SETLK,
        _ => libc::F_OFD_SETLK,
    };
    let in_use = InUse::begin(fd);
    // SAFETY: as for `fcntl` (caller).
    let result = unsafe { system_call!(SYS_fcntl, fd, attempt, argument) };
    if result != WOULD_BLOCK && result != -(libc::EACCES as isize) {
        return returned(result) as c_int;
    }
    // SAFETY: as for `fcntl` (caller), which waits for the end.
    let argument = unsafe { Lent::new(argument) };
    wait(caller, &"fcntl", fd, in_use, move || {
        // SAFETY: as for `fcntl` (caller).
        unsafe { system_call!(SYS_fcntl, fd, command, argument.get()) }
    })
}

/// Makes the call that waits, unless the descriptor has been closed meanwhile.
fn wait(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    in_use: InUse,
    call: impl FnOnce() -> isize + Send + 'static,
) -> c_int {
    let reason = WaitReason::CallOnDescriptor(name, fd);
    let result = WAITS.run(caller, reason, move || match in_use.is_over() {
        true => -(libc::EBADF as isize),
        false => call(),
    });
    returned(result) as c_int
}

/// Returns the lock of the next `len` bytes, as `lockf` means them.
fn range(len: off_t) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as c_short,
        l_whence: libc::SEEK_CUR as c_short,
        l_start: 0,
        l_len: len,
        l_pid: 0,
    }
}
