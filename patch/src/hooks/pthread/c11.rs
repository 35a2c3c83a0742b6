//! The functions of `threads.h`. Their objects are those of pthreads, and their results differ.

use std::ffi::{c_int, c_void};
use std::ptr;

use libc::{pthread_cond_t, pthread_mutex_t, pthread_t, timespec};

use super::super::wait_table::{self, Key};
use super::deadline::deadline;
use super::once::{Initializer, once};
use super::{condvar, join, mutex};

hooks! {
    THREAD: fn mtx_lock(mutex: *mut pthread_mutex_t) -> c_int {
        |caller| {
            let block = || errno_of(real::mtx_lock(mutex));
            result_of(mutex::lock(caller, &"mtx_lock", mutex, None, block))
        }
    }

    THREAD: fn mtx_timedlock(mutex: *mut pthread_mutex_t, time: *const timespec) -> c_int {
        |caller| {
            let block = || errno_of(real::mtx_timedlock(mutex, time));
            result_of(match deadline(caller, libc::CLOCK_REALTIME, &*time) {
                Ok(deadline) => mutex::lock(caller, &"mtx_timedlock", mutex, deadline, block),
                Err(_) => block(),
            })
        }
    }

    THREAD: fn cnd_wait(condvar: *mut pthread_cond_t, mutex: *mut pthread_mutex_t) -> c_int {
        |caller| result_of(condvar::wait(caller, &"cnd_wait", condvar, mutex, None))
    }

    THREAD: fn cnd_timedwait(
        condvar: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        time: *const timespec,
    ) -> c_int {
        |caller| result_of(match deadline(caller, libc::CLOCK_REALTIME, &*time) {
            Ok(deadline) => condvar::wait(caller, &"cnd_timedwait", condvar, mutex, deadline),
            Err(error) => error,
        })
    }

    THREAD: fn thrd_join(thread: pthread_t, result: *mut c_int) -> c_int {
        |_caller| {
            let mut value = ptr::null_mut::<c_void>();
            let value = &raw mut value;
            let block = move || {
                let mut value_of_c11 = 0;
                let joined = errno_of(real::thrd_join(thread, &raw mut value_of_c11));
                *value = ptr::without_provenance_mut(value_of_c11 as usize);
                joined
            };
            let joined = join::join(&"thrd_join", thread, value, block);
            if joined == 0 && !result.is_null() {
                *result = (*value).addr() as c_int;
            }
            result_of(joined)
        }
    }

    @always fn mtx_unlock(mutex: *mut pthread_mutex_t) -> c_int {
        let result = real::mtx_unlock(mutex);
        mutex::released(mutex, result);
        result
    }

    @always fn cnd_signal(condvar: *mut pthread_cond_t) -> c_int {
        match wait_table::wake(Key::Object(condvar.addr()), 1, u32::MAX) {
            0 => real::cnd_signal(condvar),
            _ => SUCCESS,
        }
    }

    @always fn cnd_broadcast(condvar: *mut pthread_cond_t) -> c_int {
        wait_table::wake(Key::Object(condvar.addr()), usize::MAX, u32::MAX);
        real::cnd_broadcast(condvar)
    }

    @always fn call_once(control: *mut c_int, initializer: Initializer) -> () {
        once(control, initializer);
    }
}

/// The results of the functions of C11, and the errors of pthreads that they stand for.
const SUCCESS: c_int = 0;
const ERROR: c_int = 2;
const RESULTS: [(c_int, c_int); 4] = [
    (SUCCESS, 0),
    (1, libc::EBUSY),
    (3, libc::ENOMEM),
    (4, libc::ETIMEDOUT),
];

fn result_of(errno: c_int) -> c_int {
    RESULTS
        .iter()
        .find(|pair| pair.1 == errno)
        .map_or(ERROR, |pair| pair.0)
}

fn errno_of(result: c_int) -> c_int {
    RESULTS
        .iter()
        .find(|pair| pair.0 == result)
        .map_or(libc::EINVAL, |pair| pair.1)
}
