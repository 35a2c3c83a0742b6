//! The creation of OS threads, their cancellation, and calls that free what the C library keeps for one.
//!
//! The C library guards its list of threads with a lock, which it holds while all threads change the
//! user. Until each has done so, `setuid` does not return. A green thread that waited for the lock under
//! its own identity would be one that never does ([`as_os_thread`]).
//!
//! The pthread of an identity belongs to the runtime, which ends it. So the program cannot detach it. Nor
//! can it cancel it: that would end the OS thread, in the middle of some later call.

use std::ffi::{c_int, c_void};

use evy_runtime::lowlevel::hooks::{as_os_thread, is_identity_thread};
use libc::{pthread_attr_t, pthread_t};

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type C11Start = extern "C" fn(*mut c_void) -> c_int;

hooks! {
    @always fn pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int {
        as_os_thread(|| real::pthread_create(thread, attributes, start, argument))
    }

    @always fn thrd_create(thread: *mut pthread_t, start: C11Start, argument: *mut c_void) -> c_int {
        as_os_thread(|| real::thrd_create(thread, start, argument))
    }

    @always fn pthread_detach(thread: pthread_t) -> c_int {
        if is_identity_thread(thread) {
            return 0;
        }
        as_os_thread(|| real::pthread_detach(thread))
    }

    @always fn thrd_detach(thread: pthread_t) -> c_int {
        if is_identity_thread(thread) {
            return 0;
        }
        as_os_thread(|| real::thrd_detach(thread))
    }

    @always fn pthread_tryjoin_np(thread: pthread_t, result: *mut *mut c_void) -> c_int {
        as_os_thread(|| real::pthread_tryjoin_np(thread, result))
    }

    @always fn pthread_cancel(thread: pthread_t) -> c_int {
        match is_identity_thread(thread) {
            true => libc::ESRCH,
            false => real::pthread_cancel(thread),
        }
    }
}
