//! Mutexes of all kinds.
//!
//! A green thread parks only for a lock whose owner is parked: a green thread with an identity, or the
//! root of its own scheduler. Any other lock may be that of an allocator, and a green thread must not
//! park inside of one: a park allocates, and the runtime allocates where it cannot park. Such locks are
//! held briefly, so the real function blocks the OS thread meanwhile. As nothing parks inside of an
//! allocator, an owner that is parked does not hold the lock of one.
//!
//! A green thread of another scheduler that holds a lock may park at any time. So the real function waits
//! for it for [`SLICE`] at a time.
//!
//! # No wake is lost
//!
//! Green threads wait in the table only while the owner is one of those above. Such an owner releases
//! the mutex with the hook of `pthread_mutex_unlock`, which wakes one of them. It tries again, and
//! either
//!
//! - takes the mutex, and wakes the next one when it releases it, or
//! - finds another such owner, which does that, and waits again, or
//! - finds an OS thread, which may release the mutex in the middle of the real `pthread_cond_wait`, and
//!   then wakes no green thread. So the one that has tried blocks until it has the mutex, or wakes the
//!   next one when it gives up.
//!
//! # Limits
//!
//! Mutexes with priority inheritance differ ([`inheritance`]).
//!
//! A mutex that the root green thread of another scheduler holds blocks the OS thread too, because its
//! id is that of an OS thread.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicU32};
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::hooks::{is_identity, is_parked_while};
use libc::{clockid_t, pthread_mutex_t, timespec};

use super::super::system::system_call;
use super::super::thread::Thread;
use super::super::wait_table::{Key, wake, wake_after_rmw};
use super::super::waits::Outcome;
use super::deadline::{deadline, real_time_after};
use super::{Wait, flags, inheritance};
use crate::Categories;

hooks! {
    @always fn pthread_mutex_lock(mutex: *mut pthread_mutex_t) -> c_int {
        let block = || real::pthread_mutex_lock(mutex);
        match waiting_thread(mutex) {
            None => block(),
            Some(thread) => lock(thread, &"pthread_mutex_lock", mutex, None, block),
        }
    }

    @always fn pthread_mutex_timedlock(
        mutex: *mut pthread_mutex_t,
        time: *const timespec,
    ) -> c_int {
        let block = || real::pthread_mutex_timedlock(mutex, time);
        let Some(thread) = waiting_thread(mutex) else { return block() };
        match deadline(thread, libc::CLOCK_REALTIME, &*time) {
            Ok(deadline) => lock(thread, &"pthread_mutex_timedlock", mutex, deadline, block),
            // It takes a free mutex, and fails otherwise.
            Err(_) => block(),
        }
    }

    @always fn pthread_mutex_clocklock(
        mutex: *mut pthread_mutex_t,
        clock: clockid_t,
        time: *const timespec,
    ) -> c_int {
        let block = || real::pthread_mutex_clocklock(mutex, clock, time);
        let Some(thread) = waiting_thread(mutex) else { return block() };
        match deadline(thread, clock, &*time) {
            Ok(deadline) => lock(thread, &"pthread_mutex_clocklock", mutex, deadline, block),
            Err(_) => block(),
        }
    }

    @always fn pthread_mutex_unlock(mutex: *mut pthread_mutex_t) -> c_int {
        let head = head(mutex);
        let own = match inheritance::inherits(head) {
            true => inheritance::unlock(head, own_id()),
            false => None,
        };
        let result = own.unwrap_or_else(|| real::pthread_mutex_unlock(mutex));
        released(mutex, result);
        result
    }
}

/// Returns the calling thread if it waits for `mutex` here, and not in the real function.
///
/// # Safety
///
/// The mutex is valid.
#[inline(always)]
pub(super) unsafe fn waiting_thread(mutex: *mut pthread_mutex_t) -> Option<Thread> {
    match crate::hooks::caller::current(Categories::THREAD) {
        Some(caller) => Some(Thread::Green(caller)),
        // SAFETY: valid (caller).
        None if inheritance::inherits(unsafe { head(mutex) }) => Some(Thread::Os),
        None => None,
    }
}

/// The beginning of a mutex, which programs contain, so it is part of the ABI.
#[repr(C)]
pub(super) struct Head {
    pub(super) lock: AtomicI32,
    pub(super) count: AtomicU32,
    pub(super) owner: AtomicI32,
    pub(super) users: AtomicU32,
    pub(super) kind: AtomicI32,
}

/// How often a mutex is tried again whose owner has not left its id yet, or has removed it already.
const TRIES_WITHOUT_OWNER: u32 = 1000;

/// How long the OS thread waits for an owner that runs on another one, before it asks again whether that
/// is parked.
const SLICE: Duration = Duration::from_millis(1);

/// The number of slices after which an owner that seems to run is taken for parked. It may be, because the
/// turns of old identities among very many are not known for sure.
const MOST_SLICES: u32 = 1000;

thread_local! {
    /// Set while this thread waits for a mutex. What it allocates meanwhile must not wait in turn.
    static IS_WAITING: Cell<bool> = const { Cell::new(false) };
}

/// Wakes a green thread that waits for `mutex`, after a real function has released it.
#[inline(always)]
pub(super) fn released(mutex: *mut pthread_mutex_t, result: c_int) {
    if result == 0 {
        wake_after_rmw(Key::Object(mutex.addr()), 1);
    }
}

/// Locks `mutex`. `block` makes the real call.
///
/// # Safety
///
/// The mutex is valid.
pub(super) unsafe fn lock(
    thread: impl Into<Thread>,
    name: &'static &'static str,
    mutex: *mut pthread_mutex_t,
    deadline: Option<Instant>,
    block: impl Fn() -> c_int,
) -> c_int {
    // SAFETY: valid (caller).
    unsafe {
        match libc::pthread_mutex_trylock(mutex) {
            libc::EBUSY if IS_WAITING.get() => block(),
            libc::EBUSY => {
                IS_WAITING.set(true);
                let result = lock_contended(thread.into(), name, mutex, deadline, block);
                IS_WAITING.set(false);
                result
            }
            result => result,
        }
    }
}

#[cold]
unsafe fn lock_contended(
    thread: Thread,
    name: &'static &'static str,
    mutex: *mut pthread_mutex_t,
    deadline: Option<Instant>,
    block: impl Fn() -> c_int,
) -> c_int {
    // SAFETY: valid (caller).
    let head = unsafe { head(mutex) };
    if is_checked(head) && head.owner.load(Relaxed) == own_id() {
        return libc::EDEADLK;
    }
    let wait = Wait {
        thread,
        name,
        object: mutex.addr(),
        deadline,
        // The runtime releases a robust mutex at the end of its owner, without a wake here.
        // SAFETY: valid (caller).
        is_shared: is_robust(head) || unsafe { flags::is_shared_mutex(mutex) },
    };
    if inheritance::inherits(head) {
        // SAFETY: valid (caller).
        return unsafe { inheritance::lock(mutex, head, wait) };
    }
    if let Thread::Os = thread {
        return block();
    }
    // SAFETY: the call has no arguments.
    let os_thread = unsafe { system_call!(SYS_gettid) } as i32;
    let is_owned_by = |owner| head.owner.load(Relaxed) == owner;
    let mut without_owner = 0;
    let mut slices = 0;
    let mut was_woken = false;
    loop {
        let mut result = libc::EBUSY;
        let mut owner = 0;
        let is_due = || {
            // SAFETY: valid (caller).
            result = unsafe { libc::pthread_mutex_trylock(mutex) };
            owner = head.owner.load(Relaxed);
            result == libc::EBUSY
                && match is_identity(owner) {
                    false => owner == os_thread,
                    true if slices < MOST_SLICES => is_parked_while(owner, || is_owned_by(owner)),
                    true => true,
                }
        };
        match wait.once(is_due, || ()) {
            Outcome::NotBegun if result != libc::EBUSY => return result,
            Outcome::NotBegun if is_identity(owner) => {
                slices += 1;
                // SAFETY: valid (caller).
                let result = unsafe { lock_within(mutex, wait.left().min(SLICE)) };
                if result != libc::ETIMEDOUT {
                    return result;
                }
                if wait.is_over() {
                    return libc::ETIMEDOUT;
                }
            }
            Outcome::NotBegun if owner == 0 && without_owner < TRIES_WITHOUT_OWNER => {
                without_owner += 1;
                yield_os_thread();
            }
            Outcome::NotBegun => {
                let result = block();
                if was_woken && !matches!(result, 0 | libc::EOWNERDEAD) {
                    wake(Key::Object(mutex.addr()), 1, u32::MAX);
                }
                return result;
            }
            Outcome::Woken => was_woken = true,
            Outcome::TimedOut => return libc::ETIMEDOUT,
            Outcome::Deadlocked => return libc::EDEADLK,
        }
    }
}

/// Waits with the real function, for at most `time`.
///
/// # Safety
///
/// The mutex is valid.
pub(super) unsafe fn lock_within(mutex: *mut pthread_mutex_t, time: Duration) -> c_int {
    let at = real_time_after(time);
    // SAFETY: the pointers are valid, and so is the mutex (caller).
    unsafe { real::pthread_mutex_timedlock(mutex, &raw const at) }
}

/// Whether the running green thread may unlock `mutex`, as far as the real function would check it.
///
/// # Safety
///
/// The mutex is valid.
pub(super) unsafe fn may_unlock(mutex: *mut pthread_mutex_t) -> bool {
    // SAFETY: valid (caller).
    let head = unsafe { head(mutex) };
    head.kind.load(Relaxed) & KIND_MASK == libc::PTHREAD_MUTEX_NORMAL
        || head.owner.load(Relaxed) == own_id()
}

/// The bits of the kind that say what a second lock by the owner does.
pub(super) const KIND_MASK: c_int = 3;

/// The bit of the kind of a robust mutex.
const ROBUST: c_int = 16;

pub(super) fn is_robust(head: &Head) -> bool {
    head.kind.load(Relaxed) & ROBUST != 0
}

fn is_checked(head: &Head) -> bool {
    head.kind.load(Relaxed) & KIND_MASK == libc::PTHREAD_MUTEX_ERRORCHECK
}

/// # Safety
///
/// The mutex is valid for `'a`.
unsafe fn head<'a>(mutex: *mut pthread_mutex_t) -> &'a Head {
    // SAFETY: valid (caller), and this is how it begins. All access is atomic.
    unsafe { &*mutex.cast::<Head>() }
}

/// Returns the id that the calling thread has as the owner of a mutex.
pub(super) fn own_id() -> i32 {
    let mut probe = libc::PTHREAD_MUTEX_INITIALIZER;
    let mutex = ptr::from_mut(&mut probe);
    // SAFETY: the mutex is valid, and nothing else uses it.
    unsafe {
        real::pthread_mutex_lock(mutex);
        let owner = head(mutex).owner.load(Relaxed);
        real::pthread_mutex_unlock(mutex);
        owner
    }
}

/// Lets the other OS threads run.
fn yield_os_thread() {
    // SAFETY: the call has no arguments.
    unsafe { system_call!(SYS_sched_yield) };
}
