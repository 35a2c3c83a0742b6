//! Deadlines of the functions that wait, which are absolute times of some clock.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use libc::{clockid_t, timespec};

use super::super::thread::Thread;
use super::super::time::remaining_until;

/// Converts an absolute time.
///
/// # Errors
///
/// Returns `EINVAL` if the clock or the time is invalid.
pub(super) fn deadline(
    thread: impl Into<Thread>,
    clock: clockid_t,
    time: &timespec,
) -> Result<Option<Instant>, c_int> {
    if !matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC) {
        return Err(libc::EINVAL);
    }
    let nanoseconds = u32::try_from(time.tv_nsec)
        .ok()
        .filter(|n| *n < 1_000_000_000)
        .ok_or(libc::EINVAL)?;
    // Before the epoch means that it has passed.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let left = remaining_until(clock, Duration::new(seconds, nanoseconds));
    Ok(thread.into().deadline_after(left))
}

/// Returns the time of the real-time clock `left` from now.
pub(super) fn real_time_after(left: Duration) -> timespec {
    let mut now = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    let end = now.tv_nsec + left.as_nanos() as i64;
    timespec {
        tv_sec: now.tv_sec + end / 1_000_000_000,
        tv_nsec: end % 1_000_000_000,
    }
}
