//! Joins of OS threads.

use std::ffi::{c_int, c_void};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::Caller;
use libc::{clockid_t, pthread_t, timespec};

use super::super::helper::Lent;
use super::WAITS;

hooks! {
    THREAD: fn pthread_join(thread: pthread_t, result: *mut *mut c_void) -> c_int {
        |caller| join(caller, &"pthread_join", thread, result, move || {
            real::pthread_join(thread, result)
        })
    }

    THREAD: fn pthread_timedjoin_np(
        thread: pthread_t,
        result: *mut *mut c_void,
        time: *const timespec,
    ) -> c_int {
        |caller| join(caller, &"pthread_timedjoin_np", thread, result, move || {
            real::pthread_timedjoin_np(thread, result, time)
        })
    }

    THREAD: fn pthread_clockjoin_np(
        thread: pthread_t,
        result: *mut *mut c_void,
        clock: clockid_t,
        time: *const timespec,
    ) -> c_int {
        |caller| join(caller, &"pthread_clockjoin_np", thread, result, move || {
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
    block: impl Fn() -> c_int + Copy + 'static,
) -> c_int {
    // SAFETY: as for `pthread_join` (caller). The real call may be made on any OS
    // thread, and this function returns after it.
    unsafe {
        if libc::pthread_equal(thread, libc::pthread_self()) != 0 {
            return libc::EDEADLK;
        }
        match pthread_tryjoin_np(thread, result) {
            libc::EBUSY => {
                let reason = WaitReason::CallOnObject(name, thread as usize);
                let block = Lent::new(block);
                WAITS.run(caller, reason, move || block.get()())
            }
            joined => joined,
        }
    }
}

unsafe extern "C" {
    fn pthread_tryjoin_np(thread: pthread_t, result: *mut *mut c_void) -> c_int;
}
