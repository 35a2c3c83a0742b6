//! POSIX semaphores.
//!
//! A signal handler may post one.

use std::ffi::c_int;
use std::time::Instant;

use evy_runtime::lowlevel::hooks::Caller;
use libc::{clockid_t, sem_t, timespec};

use super::super::system::{errno, fail, set_errno};
use super::super::wait_table::{self, Key};
use super::deadline::deadline;
use super::{Wait, flags};

hooks! {
    THREAD: fn sem_wait(semaphore: *mut sem_t) -> c_int {
        |caller| acquire(caller, &"sem_wait", semaphore, None)
    }

    THREAD: fn sem_timedwait(semaphore: *mut sem_t, time: *const timespec) -> c_int {
        |caller| match deadline(caller, libc::CLOCK_REALTIME, &*time) {
            Ok(deadline) => acquire(caller, &"sem_timedwait", semaphore, deadline),
            Err(error) => fail(error) as c_int,
        }
    }

    THREAD: fn sem_clockwait(
        semaphore: *mut sem_t,
        clock: clockid_t,
        time: *const timespec,
    ) -> c_int {
        |caller| match deadline(caller, clock, &*time) {
            Ok(deadline) => acquire(caller, &"sem_clockwait", semaphore, deadline),
            Err(error) => fail(error) as c_int,
        }
    }

    @always fn sem_post(semaphore: *mut sem_t) -> c_int {
        let result = real::sem_post(semaphore);
        // The count has grown by an atomic read-modify-write.
        wait_table::wake_after_rmw_from_signal_handler(Key::Object(semaphore.addr()), 1);
        result
    }
}

unsafe fn acquire(
    caller: Caller,
    name: &'static &'static str,
    semaphore: *mut sem_t,
    deadline: Option<Instant>,
) -> c_int {
    let before = errno();
    let attempt = || {
        // SAFETY: the semaphore is valid (caller).
        if unsafe { libc::sem_trywait(semaphore) } == 0 {
            return 0;
        }
        match errno() {
            libc::EAGAIN => libc::EBUSY,
            error => error,
        }
    };
    let mut result = attempt();
    if result == libc::EBUSY {
        let wait = Wait {
            thread: caller.into(),
            name,
            object: semaphore.addr(),
            deadline,
            // SAFETY: valid (caller).
            is_shared: unsafe { flags::is_shared_semaphore(semaphore) },
        };
        result = wait.acquire(attempt);
    }
    set_errno(before);
    match result {
        0 => 0,
        error => fail(error) as c_int,
    }
}
