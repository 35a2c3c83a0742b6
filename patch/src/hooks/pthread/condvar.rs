//! Condition variables.
//!
//! Green threads wait in the table, OS threads in the real one, but see [`waiting_thread`]. A signal wakes a green thread if one
//! waits, and otherwise an OS thread. A broadcast wakes all of both kinds.

use std::ffi::c_int;
use std::time::Instant;

use libc::{clockid_t, pthread_cond_t, pthread_mutex_t, timespec};

use super::super::thread::Thread;
use super::super::wait_table::{self, Key};
use super::super::waits::Outcome;
use super::deadline::deadline;
use super::mutex::{self, pthread_mutex_lock, pthread_mutex_unlock};
use super::{Wait, flags};
use crate::state;

hooks! {
    @always fn pthread_cond_wait(
        condvar: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
    ) -> c_int = "GLIBC_2.3.2" {
        match waiting_thread(mutex) {
            None => real::pthread_cond_wait(condvar, mutex),
            Some(thread) => wait(thread, &"pthread_cond_wait", condvar, mutex, None),
        }
    }

    @always fn pthread_cond_timedwait(
        condvar: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        time: *const timespec,
    ) -> c_int = "GLIBC_2.3.2" {
        let Some(thread) = waiting_thread(mutex) else {
            return real::pthread_cond_timedwait(condvar, mutex, time);
        };
        let clock = match flags::is_monotonic(condvar) {
            true => libc::CLOCK_MONOTONIC,
            false => libc::CLOCK_REALTIME,
        };
        match deadline(thread, clock, &*time) {
            Ok(deadline) => wait(thread, &"pthread_cond_timedwait", condvar, mutex, deadline),
            Err(error) => error,
        }
    }

    @always fn pthread_cond_clockwait(
        condvar: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        clock: clockid_t,
        time: *const timespec,
    ) -> c_int {
        let Some(thread) = waiting_thread(mutex) else {
            return real::pthread_cond_clockwait(condvar, mutex, clock, time);
        };
        match deadline(thread, clock, &*time) {
            Ok(deadline) => wait(thread, &"pthread_cond_clockwait", condvar, mutex, deadline),
            Err(error) => error,
        }
    }

    @always fn pthread_cond_signal(condvar: *mut pthread_cond_t) -> c_int = "GLIBC_2.3.2" {
        match wait_table::wake_after_mutex(Key::Object(condvar.addr()), 1) {
            0 => real::pthread_cond_signal(condvar),
            _ => 0,
        }
    }

    @always fn pthread_cond_broadcast(condvar: *mut pthread_cond_t) -> c_int = "GLIBC_2.3.2" {
        wait_table::wake_after_mutex(Key::Object(condvar.addr()), usize::MAX);
        real::pthread_cond_broadcast(condvar)
    }
}

/// Returns the calling thread if it waits here.
///
/// An OS thread does so if the mutex has priority inheritance, which the real function could not lock
/// again if a green thread holds it ([`inheritance`](super::inheritance)).
///
/// # Safety
///
/// The mutex is valid.
unsafe fn waiting_thread(mutex: *mut pthread_mutex_t) -> Option<Thread> {
    // SAFETY: valid (caller).
    let thread = unsafe { mutex::waiting_thread(mutex) };
    thread.filter(|_| state::is_in_use())
}

/// Waits for a signal, with `mutex` unlocked meanwhile.
///
/// # Safety
///
/// The objects are valid.
pub(super) unsafe fn wait(
    thread: impl Into<Thread>,
    name: &'static &'static str,
    condvar: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    deadline: Option<Instant>,
) -> c_int {
    // SAFETY: valid (caller).
    let (may_unlock, is_shared) =
        unsafe { (mutex::may_unlock(mutex), flags::is_shared_condvar(condvar)) };
    if !may_unlock {
        return libc::EPERM;
    }
    let wait = Wait {
        thread: thread.into(),
        name,
        object: condvar.addr(),
        deadline,
        is_shared,
    };
    // Unlocked once the waiter is in the table, so a signal by the next owner finds it.
    let unlock = || {
        // SAFETY: valid (caller).
        unsafe { pthread_mutex_unlock(mutex) };
    };
    let outcome = wait.once(|| true, unlock);
    // SAFETY: valid (caller). After a signal the condition variable may be gone, so it is not used.
    let locked = unsafe { pthread_mutex_lock(mutex) };
    match outcome {
        Outcome::TimedOut if locked == 0 => libc::ETIMEDOUT,
        _ => locked,
    }
}
