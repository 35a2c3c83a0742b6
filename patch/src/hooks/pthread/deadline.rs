//! Deadlines of the functions that wait, which are absolute times of some clock.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::hooks::Caller;
use libc::{clockid_t, timespec};

use super::super::time::remaining_until;

/// Converts an absolute time.
///
/// # Errors
///
/// Returns `EINVAL` if the clock or the time is invalid.
pub(super) fn deadline(
    caller: Caller,
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
    Ok(caller.deadline_after(left))
}
