//! Read-write locks.
//!
//! A lock does not name its readers. So a green thread parks for any owner, and each release wakes all
//! green threads that wait for it.

use std::ffi::c_int;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use evy_runtime::lowlevel::hooks::Caller;
use libc::{clockid_t, pthread_rwlock_t, timespec};

use super::super::wait_table::{self, Key};
use super::deadline::deadline;
use super::mutex::own_id;
use super::{Wait, flags};

hooks! {
    THREAD: fn pthread_rwlock_rdlock(lock: *mut pthread_rwlock_t) -> c_int {
        |caller| acquire(caller, &"pthread_rwlock_rdlock", Access::Read, lock, None)
    }

    THREAD: fn pthread_rwlock_wrlock(lock: *mut pthread_rwlock_t) -> c_int {
        |caller| acquire(caller, &"pthread_rwlock_wrlock", Access::Write, lock, None)
    }

    THREAD: fn pthread_rwlock_timedrdlock(
        lock: *mut pthread_rwlock_t,
        time: *const timespec,
    ) -> c_int {
        |caller| match deadline(caller, libc::CLOCK_REALTIME, &*time) {
            Ok(deadline) => {
                acquire(caller, &"pthread_rwlock_timedrdlock", Access::Read, lock, deadline)
            }
            Err(error) => error,
        }
    }

    THREAD: fn pthread_rwlock_timedwrlock(
        lock: *mut pthread_rwlock_t,
        time: *const timespec,
    ) -> c_int {
        |caller| match deadline(caller, libc::CLOCK_REALTIME, &*time) {
            Ok(deadline) => {
                acquire(caller, &"pthread_rwlock_timedwrlock", Access::Write, lock, deadline)
            }
            Err(error) => error,
        }
    }

    THREAD: fn pthread_rwlock_clockrdlock(
        lock: *mut pthread_rwlock_t,
        clock: clockid_t,
        time: *const timespec,
    ) -> c_int {
        |caller| match deadline(caller, clock, &*time) {
            Ok(deadline) => {
                acquire(caller, &"pthread_rwlock_clockrdlock", Access::Read, lock, deadline)
            }
            Err(error) => error,
        }
    }

    THREAD: fn pthread_rwlock_clockwrlock(
        lock: *mut pthread_rwlock_t,
        clock: clockid_t,
        time: *const timespec,
    ) -> c_int {
        |caller| match deadline(caller, clock, &*time) {
            Ok(deadline) => {
                acquire(caller, &"pthread_rwlock_clockwrlock", Access::Write, lock, deadline)
            }
            Err(error) => error,
        }
    }

    @always fn pthread_rwlock_unlock(lock: *mut pthread_rwlock_t) -> c_int {
        let result = real::pthread_rwlock_unlock(lock);
        // The lock counts its readers, so it has changed by an atomic read-modify-write.
        wait_table::wake_after_rmw(Key::Object(lock.addr()), usize::MAX);
        result
    }
}

#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// What a lock contains, like the static initializers in programs.
#[repr(C)]
struct Words {
    others: [AtomicI32; 6],
    /// The id of the thread that holds it for writing.
    writer: AtomicI32,
    others_after: [AtomicI32; 5],
    /// Whether writers come before readers.
    preference: AtomicI32,
}

/// `PTHREAD_RWLOCK_PREFER_READER_NP`, which is the default.
const PREFER_READERS: c_int = 0;

unsafe fn acquire(
    caller: Caller,
    name: &'static &'static str,
    access: Access,
    lock: *mut pthread_rwlock_t,
    deadline: Option<Instant>,
) -> c_int {
    // SAFETY: the lock is valid (caller).
    let attempt = || unsafe {
        match access {
            Access::Read => libc::pthread_rwlock_tryrdlock(lock),
            Access::Write => libc::pthread_rwlock_trywrlock(lock),
        }
    };
    let result = attempt();
    if result != libc::EBUSY {
        return result;
    }
    // SAFETY: valid (caller), and this is how it is laid out. All access is atomic.
    let words = unsafe { &*lock.cast::<Words>() };
    if words.writer.load(Relaxed) == own_id() {
        return libc::EDEADLK;
    }
    // A writer that gives up lets readers in, and no hook sees that. So a wait for a lock that prefers
    // writers tries again from time to time.
    let prefers_writers = words.preference.load(Relaxed) != PREFER_READERS;
    // SAFETY: valid (caller).
    let is_shared = unsafe { flags::is_shared_rwlock(lock) } || prefers_writers;
    let wait = Wait {
        thread: caller.into(),
        name,
        object: lock.addr(),
        deadline,
        is_shared,
    };
    wait.acquire(attempt)
}
