//! Waiting for child processes.
//!
//! A wait first asks without blocking. If no child has ended, it waits for the event, which takes
//! no status, and asks again. So only the call itself reaps a child. A kill or an enclosing
//! `timeout` does not end the wait: an error would be taken for one of the system, and the child
//! would stay a zombie.

use std::ffi::{c_int, c_uint};
use std::ptr;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption};
use libc::{id_t, pid_t, rusage, siginfo_t};

use super::blocking_mode::is_nonblocking;
use super::helper::Helpers;
use super::system::{fail, returned, system_call};
use super::wait::{Call, Limits, Next};

/// Waits for any child, and for what a pidfd does not report. Each must be able to wait at once,
/// because the end of one wait may be the reason for that of another.
static WAITS: Helpers = Helpers::new(usize::MAX);

hooks! {
    OS: fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
        |caller| wait_for_child(caller, &"waitpid", pid, (status, ptr::null_mut()), options)
    }

    OS: fn wait(status: *mut c_int) -> pid_t {
        |caller| wait_for_child(caller, &"wait", -1, (status, ptr::null_mut()), 0)
    }

    OS: fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
        |caller| wait_for_child(caller, &"wait3", -1, (status, usage), options)
    }

    OS: fn wait4(pid: pid_t, status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
        |caller| wait_for_child(caller, &"wait4", pid, (status, usage), options)
    }

    OS: fn waitid(kind: c_uint, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int {
        |caller| {
            if options & (libc::WNOHANG | libc::__WNOTHREAD) != 0 {
                return real::waitid(kind, id, info, options);
            }
            wait_by_id(caller, (kind, id), info, options)
        }
    }
}

unsafe fn wait_for_child(
    caller: Caller,
    name: &'static &'static str,
    pid: pid_t,
    (status, usage): (*mut c_int, *mut rusage),
    options: c_int,
) -> pid_t {
    let attempt = |options: c_int| {
        // SAFETY: as for `wait4` (caller).
        returned(unsafe { system_call!(SYS_wait4, pid, status, options, usage) }) as pid_t
    };
    if options & (libc::WNOHANG | libc::__WNOTHREAD) != 0 {
        // The second concerns the children of the calling OS thread alone.
        return attempt(options);
    }
    let (kind, id) = match pid {
        -1 => (libc::P_ALL, 0),
        ..=0 => (libc::P_PGID, pid.unsigned_abs()),
        _ => (libc::P_PID, pid.unsigned_abs()),
    };
    let mut event = Event::of(name, (kind, id), options | libc::WEXITED);
    loop {
        match attempt(options | libc::WNOHANG) {
            0 => event.wait(caller),
            result => return result,
        }
    }
}

unsafe fn wait_by_id(
    caller: Caller,
    (kind, id): (c_uint, id_t),
    info: *mut siginfo_t,
    options: c_int,
) -> c_int {
    let is_pidfd = kind == libc::P_PIDFD;
    let mut event = Event::of(&"waitid", (kind, id), options);
    // SAFETY: all zeros is a valid value.
    let mut own: siginfo_t = unsafe { std::mem::zeroed() };
    let found = match info.is_null() {
        true => &raw mut own,
        false => info,
    };
    loop {
        // SAFETY: as for `waitid` (caller).
        let result =
            unsafe { system_call!(SYS_waitid, kind, id, found, options | libc::WNOHANG, 0) };
        // SAFETY: the kernel has written it.
        if result != 0 || unsafe { (*found).si_pid() } != 0 {
            return returned(result) as c_int;
        }
        if is_pidfd && is_nonblocking(id.cast_signed()) {
            return fail(libc::EAGAIN) as c_int;
        }
        event.wait(caller);
    }
}

/// The event that a child may have a status to be taken.
struct Event {
    name: &'static &'static str,
    kind: c_uint,
    id: id_t,
    options: c_int,
    /// A descriptor that is readable once the child has ended.
    pidfd: Option<c_int>,
    is_own: bool,
}

impl Event {
    fn of(name: &'static &'static str, (kind, id): (c_uint, id_t), options: c_int) -> Self {
        Self {
            name,
            kind,
            id,
            options,
            pidfd: (kind == libc::P_PIDFD).then_some(id.cast_signed()),
            is_own: false,
        }
    }

    /// Parks until the event, or for nothing.
    fn wait(&mut self, caller: Caller) {
        let only_ends = self.options & (libc::WSTOPPED | libc::WCONTINUED) == 0;
        if self.pidfd.is_none() && self.kind == libc::P_PID && only_ends {
            // SAFETY: the call opens a descriptor, and cannot confuse the child with another
            // process, because the child has not been reaped.
            let pidfd = unsafe { system_call!(SYS_pidfd_open, self.id, 0) };
            self.pidfd = c_int::try_from(pidfd).ok().filter(|fd| *fd >= 0);
            self.is_own = self.pidfd.is_some();
        }
        if only_ends && let Some(pidfd) = self.pidfd {
            let limits = Limits {
                deadline: None,
                interruption: Interruption::Waits,
            };
            let mut call =
                Call::begin(caller, self.name, pidfd, Direction::Read).with_limits(limits);
            if call.wait() == Next::TryAgain {
                return;
            }
            self.close();
        }
        self.wait_on_helper(caller);
    }

    fn wait_on_helper(&self, caller: Caller) {
        let (kind, id) = (self.kind, self.id);
        let options = (self.options & !libc::WNOHANG) | libc::WNOWAIT;
        WAITS.run(caller, WaitReason::Other("a child process"), move || {
            // SAFETY: the call writes nothing.
            unsafe { system_call!(SYS_waitid, kind, id, 0, options, 0) }
        });
    }

    fn close(&mut self) {
        if self.is_own
            && let Some(pidfd) = self.pidfd.take()
        {
            // SAFETY: the descriptor is the event's own.
            unsafe { system_call!(SYS_close, pidfd) };
        }
        self.pidfd = None;
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.close();
    }
}
