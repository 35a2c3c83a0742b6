//! Waiting for a signal: `sigwait` and its relatives.
//!
//! Green threads share the signal mask of their OS thread. The signals waited for are blocked
//! there, as these functions require, and a descriptor of the kernel says when one is pending.
//!
//! `sigsuspend` waits for a handler to run. That parks if all signals that have a handler are blocked
//! until the call, as they should be. `pause` blocks the OS thread, because nothing reports that a
//! handler has run.

use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::{Caller, Interruption};
use libc::{siginfo_t, sigset_t, timespec};

use super::masks::{MASK_SIZE, Mask, SignalDescriptor};
use super::readiness::poll_all;
use super::system::{WOULD_BLOCK, returned, system_call};
use super::time::limit;
use super::wait::{Call, Limits, Next};

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
            let time = limit(timeout);
            match time.and_then(|time| wait(caller, &"sigtimedwait", set, info, time)) {
                Some(found) => returned(found) as c_int,
                None => real::sigtimedwait(set, info, timeout),
            }
        }
    }

    OS: fn sigsuspend(mask: *const sigset_t) -> c_int {
        |caller| match Mask::of(mask) {
            Some(own) if !mask.is_null() && !own.misses_handlers() => {
                poll_all(caller, &"sigsuspend", ptr::null_mut(), 0, None, &own)
            }
            _ => real::sigsuspend(mask),
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
        // SAFETY: the kernel has just accepted the set.
        let signals = unsafe { SignalDescriptor::new(set.cast()) }.ok()?;
        let mut call = Call::begin(caller, name, signals.0, Direction::Read).with_limits(Limits {
            deadline: time.and_then(|time| caller.deadline_after(time)),
            interruption: Interruption::Waits,
        });
        while found == WOULD_BLOCK && call.wait() == Next::TryAgain {
            found = attempt();
        }
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
