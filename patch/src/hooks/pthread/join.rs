//! Joins of OS threads.

use std::ffi::{c_int, c_void};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::is_identity_thread;
use libc::{clockid_t, pthread_t, timespec};

use super::super::helper::Lent;
use super::WAITS;
use crate::Categories;

hooks! {
    @always fn pthread_join(thread: pthread_t, result: *mut *mut c_void) -> c_int {
        join(&"pthread_join", thread, result, move || real::pthread_join(thread, result))
    }

    @always fn pthread_timedjoin_np(
        thread: pthread_t,
        result: *mut *mut c_void,
        time: *const timespec,
    ) -> c_int {
        join(&"pthread_timedjoin_np", thread, result, move || {
            real::pthread_timedjoin_np(thread, result, time)
        })
    }

    @always fn pthread_clockjoin_np(
        thread: pthread_t,
        result: *mut *mut c_void,
        clock: clockid_t,
        time: *const timespec,
    ) -> c_int {
        join(&"pthread_clockjoin_np", thread, result, move || {
            real::pthread_clockjoin_np(thread, result, clock, time)
        })
    }
}

/// Joins `thread`. For a green thread, a helper OS thread makes the real call, unless `thread` has ended
/// already. The pthread of an identity cannot be joined: the runtime does that.
///
/// # Safety
///
/// As for `pthread_join`.
pub(super) unsafe fn join(
    name: &'static &'static str,
    thread: pthread_t,
    result: *mut *mut c_void,
    block: impl Fn() -> c_int + Copy + 'static,
) -> c_int {
    let caller = crate::hooks::caller::current(Categories::THREAD);
    // SAFETY: as for `pthread_join` (caller). The real call may be made on any OS
    // thread, and this function returns after it.
    unsafe {
        if libc::pthread_equal(thread, libc::pthread_self()) != 0 {
            return libc::EDEADLK;
        }
        if is_identity_thread(thread) {
            return libc::EINVAL;
        }
        let Some(caller) = caller else { return block() };
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
