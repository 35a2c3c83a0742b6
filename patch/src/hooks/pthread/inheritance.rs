//! Mutexes with priority inheritance (`PTHREAD_PRIO_INHERIT`).
//!
//! The word of such a mutex contains the id of its owner, by which the kernel finds the thread that it
//! gives the priority of those that wait. It does not find green threads. So three rules hold:
//!
//! - A green thread never waits in the kernel, which would make its OS thread the owner. It waits in the
//!   table, and tries again every now and then, because the real `pthread_cond_wait` of an OS thread
//!   releases the mutex without a hook.
//! - An OS thread waits in the table while a green thread is the owner, and in the kernel while another
//!   OS thread is. If a green thread becomes the owner just before the kernel is asked, the C library
//!   would wait forever. So that wait is short ([`IN_KERNEL`]), and repeated.
//! - The kernel cannot release a mutex of a green thread for it. But each OS thread that has tried to
//!   wait for it in the kernel has left a bit in the word that demands it. So a green thread releases
//!   such a mutex itself.
//!
//! The C library does not expect that the kernel fails for a robust mutex, and aborts. So OS threads
//! wait for those in the table in any case, and their priorities are not inherited.

use std::ffi::c_int;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use evy_runtime::lowlevel::hooks::is_identity;
use libc::pthread_mutex_t;

use super::super::thread::Thread;
use super::super::waits::Outcome;
use super::Wait;
use super::mutex::{Head, KIND_MASK, is_robust, lock_within};

/// The bit of the kind for priority inheritance.
const PRIO_INHERIT: c_int = 32;

/// The bits of the word that contain the id of the owner.
const OWNER: i32 = 0x3fff_ffff;

/// How long an OS thread waits in the kernel before it checks the owner again.
const IN_KERNEL: Duration = Duration::from_millis(10);

/// Whether a mutex has priority inheritance.
#[inline(always)]
pub(super) fn inherits(head: &Head) -> bool {
    head.kind.load(Relaxed) & PRIO_INHERIT != 0
}

fn owner(head: &Head) -> i32 {
    head.lock.load(SeqCst) & OWNER
}

/// Locks `mutex` after a first attempt has failed.
///
/// # Safety
///
/// `head` is the beginning of `mutex`, which is valid.
pub(super) unsafe fn lock(mutex: *mut pthread_mutex_t, head: &Head, wait: Wait) -> c_int {
    let waits_in_table = |owner| match wait.thread {
        Thread::Green(_) => true,
        Thread::Os => is_identity(owner) || is_robust(head),
    };
    loop {
        let mut result = libc::EBUSY;
        let is_due = || {
            // SAFETY: valid (caller).
            result = unsafe { libc::pthread_mutex_trylock(mutex) };
            result == libc::EBUSY && waits_in_table(owner(head))
        };
        // As a shared object: some wakes are not seen.
        let wait = Wait {
            is_shared: true,
            ..wait
        };
        match wait.once(is_due, || ()) {
            Outcome::NotBegun if result != libc::EBUSY => return result,
            Outcome::NotBegun => {
                // SAFETY: valid (caller).
                let result = unsafe { lock_within(mutex, wait.left().min(IN_KERNEL)) };
                if result != libc::ETIMEDOUT || wait.is_over() {
                    return result;
                }
            }
            Outcome::Woken => {}
            Outcome::TimedOut => return libc::ETIMEDOUT,
            Outcome::Deadlocked => return libc::EDEADLK,
        }
    }
}

/// Unlocks a mutex that a green thread has locked. Returns `None` if the kernel knows the owner, or if
/// it is not the caller.
///
/// # Safety
///
/// `head` is the beginning of a valid mutex.
pub(super) unsafe fn unlock(head: &Head, id: i32) -> Option<c_int> {
    if !is_identity(id) || owner(head) != id || is_robust(head) {
        return None;
    }
    // The fields are those of the owner.
    if head.kind.load(Relaxed) & KIND_MASK == libc::PTHREAD_MUTEX_RECURSIVE {
        let count = head.count.load(Relaxed) - 1;
        head.count.store(count, Relaxed);
        if count > 0 {
            return Some(0);
        }
    }
    head.owner.store(0, Relaxed);
    head.users.store(head.users.load(Relaxed) - 1, Relaxed);
    // The kernel has queued none of those that have left the bit.
    head.lock.swap(0, SeqCst);
    Some(0)
}
