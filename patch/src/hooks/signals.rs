//! Waiting for a signal: `sigwait` and its relatives.
//!
//! Green threads share the signal mask of their OS thread. The signals waited for are blocked
//! there, as these functions require, and a descriptor of the kernel says when one is pending.
//!
//! `pause` and `sigsuspend` wait for a handler to run, which nothing reports. They block the OS
//! thread.

use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::{Caller, Interruption};
use libc::{siginfo_t, sigset_t, timespec};

use super::system::{WOULD_BLOCK, returned, system_call};
use super::time::duration;
use super::wait::{Call, Limits, Next};

/// The number of bytes of a signal mask in the kernel.
const MASK_SIZE: usize = 8;

hooks! {
    OS: fn sigwait(set: *const sigset_t, signal: *mut c_int) -> c_int {
        |caller| match wait(caller, &"sigwait", set, ptr::null_mut(), None) {
            Some(found @ 0..) => {
                *signal = found as c_int;
                0
            }
            Some(error) => -error as c_int,
            None => real::sigwait(set, signal),
        }
    }

    OS: fn sigwaitinfo(set: *const sigset_t, info: *mut siginfo_t) -> c_int {
        |caller| match wait(caller, &"sigwaitinfo", set, info, None) {
            Some(found) => returned(found) as c_int,
            None => real::sigwaitinfo(set, info),
        }
    }

    OS: fn sigtimedwait(
        set: *const sigset_t,
        info: *mut siginfo_t,
        timeout: *const timespec,
    ) -> c_int {
        |caller| {
            let time = timeout.as_ref().map(duration);
            let found = match time {
                Some(None) => None,
                time => wait(caller, &"sigtimedwait", set, info, time.flatten()),
            };
            match found {
                Some(found) => returned(found) as c_int,
                None => real::sigtimedwait(set, info, timeout),
            }
        }
    }
}

/// Parks until a signal is pending, and returns it or a negative error. Returns `None` if there is
/// no descriptor for that.
unsafe fn wait(
    caller: Caller,
    name: &'static &'static str,
    set: *const sigset_t,
    info: *mut siginfo_t,
    time: Option<Duration>,
) -> Option<isize> {
    let now = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: as for `sigtimedwait` (caller).
    let attempt =
        || unsafe { system_call!(SYS_rt_sigtimedwait, set, info, &raw const now, MASK_SIZE) };
    let mut found = attempt();
    if found == WOULD_BLOCK {
        // SAFETY: the set is valid (caller).
        let fd = unsafe { system_call!(SYS_signalfd4, -1, set, MASK_SIZE, libc::O_CLOEXEC) };
        let fd = c_int::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        let mut call = Call::begin(caller, name, fd, Direction::Read).with_limits(Limits {
            deadline: time.and_then(|time| caller.deadline_after(time)),
            interruption: Interruption::Waits,
        });
        while found == WOULD_BLOCK && call.wait() == Next::TryAgain {
            found = attempt();
        }
        // SAFETY: the descriptor is this function's own.
        unsafe { system_call!(SYS_close, fd) };
    }
    // SAFETY: valid or null (caller).
    if let Some(info) = unsafe { info.as_mut() }
        && found > 0
        && info.si_code == libc::SI_TKILL
    {
        // The C library hides how it raises a signal.
        info.si_code = libc::SI_USER;
    }
    Some(found)
}
