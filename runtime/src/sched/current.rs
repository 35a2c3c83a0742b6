//! The scheduler of this OS thread: created by the first call that needs one, and freed when the OS
//! thread ends.
//!
//! The pointer to it has no destructor, so it can be read at any time, even in the destructors of
//! other thread locals and in a signal handler.
//!
//! The destructors of thread locals run in an unspecified order, and any of them may use evy. So
//! two destructors end a scheduler:
//!
//! 1. That of a thread local drops the locals of the root green thread, which are code of the
//!    program and may use other thread locals. If green threads are live, it also abandons the
//!    scheduler: from then on none of them runs, because it could use thread locals that are
//!    destroyed already. Later destructors get another scheduler.
//! 2. That of a POSIX key, which the system runs after those of all thread locals, frees the
//!    schedulers, or leaks them if green threads are left.
//!
//! `process::exit`, and the return of `main`, run the destructors of thread locals, but not those
//! of keys. The functions that led to the exit may be linked in wait queues, so the memory of the
//! scheduler must stay.

use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use super::Scheduler;

thread_local! {
    static CURRENT: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
    /// The number of operations until the budget is checked (`budget`). The ticker makes it one.
    ///
    /// It is not part of the scheduler, so that charging an operation takes four instructions.
    pub(super) static UNTIL_CHECK: AtomicU32 = const { AtomicU32::new(1) };
    static ENDING: AtThreadEnd = const { AtThreadEnd };
    /// The scheduler that was current, and had live green threads, when `ENDING` was dropped.
    static ABANDONED: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
    /// The destructor of the key has run once.
    static IS_LAST_ROUND: Cell<bool> = const { Cell::new(false) };
}

/// Returns the scheduler of the calling OS thread, creating it if necessary.
///
/// # Panics
///
/// Panics if this is the first call on this OS thread and the system cannot create a poller, and in a
/// child that was created with `fork`.
#[inline(always)]
#[track_caller]
pub(crate) fn current<'a>() -> &'a Scheduler {
    let scheduler = CURRENT.get();
    if scheduler.is_null() {
        return start_or_panic();
    }
    // SAFETY:
    // - the scheduler is freed only at the end of the OS thread, after `CURRENT` was reset (`end`);
    // - functions that hold the reference run on this OS thread only ([no-migration]), and have
    //   returned or unwound before its end.
    unsafe { &*scheduler }
}

/// Returns the scheduler of the calling OS thread like [`current`], or an error.
///
/// # Errors
///
/// Returns the error of the system where `current` would panic.
#[inline]
#[track_caller]
pub(crate) fn try_current<'a>() -> io::Result<&'a Scheduler> {
    match if_current() {
        Some(scheduler) => Ok(scheduler),
        None => start(),
    }
}

/// Returns the scheduler of the calling OS thread, if it has one.
#[inline(always)]
pub(crate) fn if_current<'a>() -> Option<&'a Scheduler> {
    // SAFETY: as in `current`.
    unsafe { CURRENT.get().as_ref() }
}

/// Returns the deadline `timeout` from now on the clock of this OS thread; `None` never passes.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    current().clock.deadline_after(timeout)
}

/// Makes `scheduler` the current one of a new pthread identity.
pub(super) unsafe fn adopt(scheduler: *const ()) {
    CURRENT.set(scheduler.cast());
}

/// Forgets the scheduler of the calling OS thread, in a process that must not use it.
pub(super) fn forget() {
    CURRENT.set(ptr::null());
}

#[cold]
#[track_caller]
fn start_or_panic<'a>() -> &'a Scheduler {
    match start() {
        Ok(scheduler) => scheduler,
        Err(error) => panic!("evy cannot start on this OS thread: {error}"),
    }
}

#[cold]
#[track_caller]
fn start<'a>() -> io::Result<&'a Scheduler> {
    let key = end_key()?;
    // SAFETY: the key was created by `end_key`. Its destructor does not follow the value, which only
    // must not be null.
    let errno = unsafe { libc::pthread_setspecific(key, NonNull::<c_void>::dangling().as_ptr()) };
    // Without the destructor, the ticker would keep pointers to the memory of this OS thread.
    if errno != 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    let scheduler = Scheduler::start()?;
    CURRENT.set(scheduler.as_ptr());
    // Registers the destructor. While the OS thread ends, that may fail. Then the destructor of the
    // key does its work.
    ENDING.try_with(|_| ()).ok();
    // SAFETY: `Scheduler::start` has just returned it.
    Ok(unsafe { scheduler.as_ref() })
}

/// Returns the key with the destructor that ends a scheduler.
///
/// # Errors
///
/// Returns the error of the system if there are too many keys.
fn end_key() -> io::Result<libc::pthread_key_t> {
    static KEY: OnceLock<Result<libc::pthread_key_t, i32>> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the pointer is valid, and `end` may be called at the end of any OS thread.
        match unsafe { libc::pthread_key_create(&raw mut key, Some(end)) } {
            0 => Ok(key),
            errno => Err(errno),
        }
    });
    key.map_err(io::Error::from_raw_os_error)
}

/// Ends the schedulers of an OS thread. The system calls this when the OS thread has ended.
unsafe extern "C" fn end(scheduler: *mut c_void) {
    drop_root_locals();
    // Where thread locals are built on keys too, the order is unspecified. Setting the value makes
    // the system run the destructor again, after those of the other keys.
    if !IS_LAST_ROUND.replace(true)
        && let Ok(key) = end_key()
    {
        // SAFETY: as in `start`.
        unsafe { libc::pthread_setspecific(key, scheduler) };
        return;
    }
    // A hook may need the scheduler, so it is still the current one.
    if let Some(scheduler) = if_current() {
        scheduler.abandon_calls();
        scheduler.abandon_waits();
    }
    for scheduler in [&CURRENT, &ABANDONED].map(|cell| cell.replace(ptr::null())) {
        if !scheduler.is_null() {
            // SAFETY:
            // - `start` has created it on this OS thread, which runs on its own stack and has left
            //   all functions of the program;
            // - both thread locals were reset, so nothing finds it any more.
            unsafe { super::os_thread_exit::end(scheduler.cast_mut()) };
        }
    }
}

/// Drops the locals of the root green thread when dropped, and abandons its scheduler if green
/// threads are live.
struct AtThreadEnd;

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        drop_root_locals();
        if let Some(scheduler) = if_current()
            && is_root_running(scheduler)
        {
            scheduler.abandon_calls();
            if scheduler.live() > 0 {
                scheduler.abandon_waits();
                ABANDONED.set(CURRENT.replace(ptr::null()));
            }
        }
    }
}

/// Drops the locals of the root green thread, at the end of the OS thread.
fn drop_root_locals() {
    if let Some(scheduler) = if_current()
        && is_root_running(scheduler)
    {
        scheduler.root.drop_locals();
    }
}

/// Whether the root green thread runs. `process::exit` on another green thread runs the destructors
/// of thread locals on that one's stack.
fn is_root_running(scheduler: &Scheduler) -> bool {
    scheduler.running() == scheduler.root()
}
