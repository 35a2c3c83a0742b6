//! Joins of OS threads.

use std::ffi::{c_int, c_void};

use evy_runtime::lowlevel::hooks::Caller;
use libc::{clockid_t, pthread_t, timespec};

use super::helper::call_on_helper;

hooks! {
    THREAD: fn pthread_join(thread: pthread_t, result: *mut *mut c_void) -> c_int {
        |caller| join(caller, &"pthread_join", thread, result, || {
            real::pthread_join(thread, result)
        })
    }

    THREAD: fn pthread_timedjoin_np(
        thread: pthread_t,
        result: *mut *mut c_void,
        time: *const timespec,
    ) -> c_int {
        |caller| join(caller, &"pthread_timedjoin_np", thread, result, || {
            real::pthread_timedjoin_np(thread, result, time)
        })
    }

    THREAD: fn pthread_clockjoin_np(
        thread: pthread_t,
        result: *mut *mut c_void,
        clock: clockid_t,
        time: *const timespec,
    ) -> c_int {
        |caller| join(caller, &"pthread_clockjoin_np", thread, result, || {
            real::pthread_clockjoin_np(thread, result, clock, time)
        })
    }
}

/// Joins `thread`. A helper OS thread makes the real call, unless `thread` has ended already.
///
/// # Safety
///
/// As for `pthread_join`.
pub(super) unsafe fn join(
    caller: Caller,
    name: &'static &'static str,
    thread: pthread_t,
    result: *mut *mut c_void,
    block: impl Fn() -> c_int,
) -> c_int {
    // SAFETY: as for `pthread_join` (caller). The real call may be made on any OS thread.
    unsafe {
        if libc::pthread_equal(thread, libc::pthread_self()) != 0 {
            return libc::EDEADLK;
        }
        match pthread_tryjoin_np(thread, result) {
            libc::EBUSY => call_on_helper(caller, name, &block).unwrap_or_else(block),
            joined => joined,
        }
    }
}

unsafe extern "C" {
    fn pthread_tryjoin_np(thread: pthread_t, result: *mut *mut c_void) -> c_int;
}
