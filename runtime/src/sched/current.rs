//! The scheduler of this OS thread: created by the first call that needs one, and freed when the OS
//! thread ends.
//!
//! The pointer to it has no destructor, so it can be read at any time, even in the destructors of
//! other thread locals and in a signal handler. A second thread local has a destructor, and is
//! dropped when the OS thread ends.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use super::Scheduler;

thread_local! {
    static CURRENT: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
    static ENDING: AtThreadEnd = const { AtThreadEnd };
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
    // - the scheduler is freed only at the end of the OS thread, after `CURRENT` is reset;
    // - functions on this stack that hold the reference run on this OS thread only
    //   ([no-migration]), so they never continue after that.
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
    let scheduler = Scheduler::start()?;
    CURRENT.set(scheduler.as_ptr());
    // Registers the destructor. While the OS thread ends, that fails: the destructor of some other
    // thread local has created this scheduler, which is then never freed.
    ENDING.try_with(|_| ()).ok();
    // SAFETY: `Scheduler::start` has just returned it.
    Ok(unsafe { scheduler.as_ref() })
}

/// Ends the scheduler when it is dropped, at the end of the OS thread.
struct AtThreadEnd;

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        let scheduler = CURRENT.get();
        // SAFETY: as in `current`.
        let Some(alive) = (unsafe { scheduler.as_ref() }) else {
            return;
        };
        // `process::exit` on a green thread runs this on the green thread's own stack.
        if alive.running() != alive.root() {
            return;
        }
        alive.abandon_waits();
        CURRENT.set(ptr::null());
        // SAFETY: this OS thread owns the scheduler, runs on its own stack, and has reset
        // `CURRENT`.
        unsafe { super::os_thread_exit::end(scheduler.cast_mut()) };
    }
}
