//! The calling pthread as the kernel knows it: its scheduling, and the signals that it queues itself. For a
//! green thread, they are those of its OS thread.

use std::ffi::c_int;

use evy_runtime::lowlevel::hooks::{as_os_thread, own_stack};
use libc::{clockid_t, cpu_set_t, pthread_t, sched_param, sigval, size_t};

/// Makes a call for the OS thread instead of the identity of the calling green thread.
unsafe fn for_os_thread(thread: pthread_t, call: impl FnOnce(pthread_t) -> c_int) -> c_int {
    // SAFETY: the calls have no preconditions. The functions called use no thread local of the
    // green thread, and return their error.
    unsafe {
        if own_stack().is_none() || thread != libc::pthread_self() {
            return call(thread);
        }
        as_os_thread(|| call(libc::pthread_self()))
    }
}

hooks! {
    @always fn pthread_getaffinity_np(thread: pthread_t, size: size_t, set: *mut cpu_set_t) -> c_int {
        for_os_thread(thread, |thread| real::pthread_getaffinity_np(thread, size, set))
    }

    @always fn pthread_setaffinity_np(thread: pthread_t, size: size_t, set: *const cpu_set_t) -> c_int {
        for_os_thread(thread, |thread| real::pthread_setaffinity_np(thread, size, set))
    }

    @always fn pthread_getschedparam(
        thread: pthread_t,
        policy: *mut c_int,
        parameters: *mut sched_param,
    ) -> c_int {
        for_os_thread(thread, |thread| real::pthread_getschedparam(thread, policy, parameters))
    }

    @always fn pthread_setschedparam(
        thread: pthread_t,
        policy: c_int,
        parameters: *const sched_param,
    ) -> c_int {
        for_os_thread(thread, |thread| real::pthread_setschedparam(thread, policy, parameters))
    }

    @always fn pthread_setschedprio(thread: pthread_t, priority: c_int) -> c_int {
        for_os_thread(thread, |thread| real::pthread_setschedprio(thread, priority))
    }

    @always fn pthread_sigqueue(thread: pthread_t, signal: c_int, value: sigval) -> c_int {
        for_os_thread(thread, |thread| real::pthread_sigqueue(thread, signal, value))
    }

    @always fn pthread_getcpuclockid(thread: pthread_t, clock: *mut clockid_t) -> c_int {
        for_os_thread(thread, |thread| real::pthread_getcpuclockid(thread, clock))
    }
}
