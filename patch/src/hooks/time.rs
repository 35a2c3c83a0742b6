//! Sleeps.

use std::ffi::{c_int, c_uint};
use std::time::Duration;

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd};
use libc::{clockid_t, timespec};

use super::system::{errno, set_errno};

hooks! {
    TIME: fn clock_nanosleep(
        clock: clockid_t,
        flags: c_int,
        request: *const timespec,
        remaining: *mut timespec,
    ) -> c_int {
        |caller| {
            let Some(time) = duration(&*request) else {
                return libc::EINVAL;
            };
            let _ = remaining;
            let time = match flags & libc::TIMER_ABSTIME {
                0 => time,
                _ => remaining_until(clock, time),
            };
            sleep_for(caller, time);
            0
        }
    }

    TIME: fn usleep(microseconds: c_uint) -> c_int {
        |caller| {
            sleep_for(caller, Duration::from_micros(microseconds.into()));
            0
        }
    }
}

/// Sleeps, and leaves `errno` alone.
///
/// A kill ends one sleep early: the next call of evy throws it. If foreign code sleeps again instead,
/// in a loop, it sleeps in full.
fn sleep_for(caller: Caller, time: Duration) {
    let errno = errno();
    if time.is_zero() {
        caller.yield_now();
    } else {
        let deadline = caller.deadline_after(time);
        while caller.park(WaitReason::Sleep, deadline, Interruption::Waits) == WaitEnd::Woken {}
    }
    set_errno(errno);
}

/// Returns the time from now until `at` on `clock`.
pub(super) fn remaining_until(clock: clockid_t, at: Duration) -> Duration {
    let mut now = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    at.saturating_sub(duration(&now).unwrap_or_default())
}

/// Returns the time of a `timespec`, if that is valid.
pub(super) fn duration(time: &timespec) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanoseconds = u32::try_from(time.tv_nsec)
        .ok()
        .filter(|n| *n < 1_000_000_000)?;
    Some(Duration::new(seconds, nanoseconds))
}
