//! Barriers.

use std::ffi::c_int;

use evy_runtime::lowlevel::WaitReason;
use libc::pthread_barrier_t;

use super::super::helper::Lent;
use super::WAITS;

hooks! {
    THREAD: fn pthread_barrier_wait(barrier: *mut pthread_barrier_t) -> c_int {
        // A barrier has no function that arrives without waiting. A helper arrives in place of the
        // green thread, so that it meets OS threads too.
        |caller| {
            let reason = WaitReason::CallOnObject(&"pthread_barrier_wait", barrier.addr());
            let barrier = Lent::new(barrier);
            WAITS.run(caller, reason, move || real::pthread_barrier_wait(barrier.get()))
        }
    }
}
