//! Sleeps.

use std::cell::Cell;
use std::ffi::{c_int, c_uint};
use std::time::Duration;

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd};
use libc::{clockid_t, timespec};

use super::pointers::value;
use super::system::{errno, set_errno};

hooks! {
    TIME: fn clock_nanosleep(
        clock: clockid_t,
        flags: c_int,
        request: *const timespec,
        remaining: *mut timespec,
    ) -> c_int {
        |caller| {
            let time = value(request).and_then(|time| duration(&time));
            match time.filter(|_| goes_on_while_waiting(clock)) {
                // It finds the error, or waits for processor time.
                None => real::clock_nanosleep(clock, flags, request, remaining),
                Some(at) if flags & libc::TIMER_ABSTIME != 0 => sleep_until(caller, clock, at),
                Some(time) => sleep_for(caller, time),
            }
        }
    }

    TIME: fn nanosleep(request: *const timespec, remaining: *mut timespec) -> c_int {
        |caller| {
            match value(request).and_then(|time| duration(&time)) {
                None => real::nanosleep(request, remaining),
                Some(time) => sleep_for(caller, time),
            }
        }
    }

    TIME: fn thrd_sleep(request: *const timespec, remaining: *mut timespec) -> c_int {
        |caller| {
            match value(request).and_then(|time| duration(&time)) {
                None => real::thrd_sleep(request, remaining),
                Some(time) => sleep_for(caller, time),
            }
        }
    }

    TIME: fn sleep(seconds: c_uint) -> c_uint {
        |caller| sleep_for(caller, Duration::from_secs(seconds.into())).cast_unsigned()
    }

    TIME: fn usleep(microseconds: c_uint) -> c_int {
        |caller| sleep_for(caller, Duration::from_micros(microseconds.into()))
    }

    THREAD: fn sched_yield() -> c_int {
        |caller| {
            let before = errno();
            caller.yield_now();
            set_errno(before);
            // What it waits for may be on another OS thread.
            real::sched_yield()
        }
    }

    THREAD: fn thrd_yield() -> () {
        |_caller| {
            sched_yield();
        }
    }
}

thread_local! {
    /// Whether the last sleep has ended early.
    static HAS_ENDED_EARLY: Cell<bool> = const { Cell::new(false) };
}

/// Sleeps, leaves `errno` alone, and returns zero. No signal ends it.
///
/// A kill or an enclosing `timeout` ends a sleep early, because no code takes that for an error,
/// and the next call of evy throws it. Foreign code may sleep again instead, in a loop, so the next
/// sleep is not ended early.
fn sleep_for(caller: Caller, time: Duration) -> c_int {
    let errno = errno();
    if time.is_zero() {
        caller.yield_now();
    } else {
        let deadline = caller.deadline_after(time);
        let interruption = match HAS_ENDED_EARLY.replace(false) {
            true => Interruption::Waits,
            false => Interruption::Ends,
        };
        loop {
            match caller.park(WaitReason::Sleep, deadline, interruption) {
                WaitEnd::Woken => {}
                WaitEnd::Killed | WaitEnd::Elapsed => {
                    HAS_ENDED_EARLY.set(true);
                    caller.yield_now();
                    break;
                }
                _ => break,
            }
        }
    }
    set_errno(errno);
    0
}

/// Sleeps until `at` on a clock that may be set meanwhile.
fn sleep_until(caller: Caller, clock: clockid_t, at: Duration) -> c_int {
    loop {
        let left = remaining_until(clock, at);
        sleep_for(caller, left);
        if left.is_zero() || HAS_ENDED_EARLY.get() {
            return 0;
        }
    }
}

/// Whether the clock goes on while a green thread waits, and not only while it runs.
fn goes_on_while_waiting(clock: clockid_t) -> bool {
    matches!(
        clock,
        libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME | libc::CLOCK_TAI
    )
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

/// Returns the limit of a call: `None` if it is invalid, and `Some(None)` if there is none.
///
/// # Safety
///
/// Nothing writes to the time meanwhile.
pub(super) unsafe fn limit(time: *const timespec) -> Option<Option<Duration>> {
    match time.is_null() {
        true => Some(None),
        // SAFETY: nothing writes to it (caller).
        false => unsafe { value(time) }
            .and_then(|time| duration(&time))
            .map(Some),
    }
}

/// Returns the time of a `timespec`, if that is valid.
pub(super) fn duration(time: &timespec) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanoseconds = u32::try_from(time.tv_nsec)
        .ok()
        .filter(|n| *n < 1_000_000_000)?;
    Some(Duration::new(seconds, nanoseconds))
}
