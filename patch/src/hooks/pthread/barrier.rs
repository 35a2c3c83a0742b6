//! Barriers.

use std::ffi::c_int;

use libc::pthread_barrier_t;

use super::helper::call_on_helper;

hooks! {
    THREAD: fn pthread_barrier_wait(barrier: *mut pthread_barrier_t) -> c_int {
        // A barrier has no function that arrives without waiting. A helper arrives in place of the
        // green thread, so that it meets OS threads too.
        |caller| call_on_helper(caller, &"pthread_barrier_wait", || {
            real::pthread_barrier_wait(barrier)
        })
        .unwrap_or_else(|| real::pthread_barrier_wait(barrier))
    }
}
