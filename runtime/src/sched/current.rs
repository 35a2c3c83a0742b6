//! The scheduler of this OS thread: made at the first blocking call, gone with the thread.
//!
//! The pointer has no destructor, so it can be read at any time, also from the destructors of other
//! thread locals and from a signal handler. What has one is a guard beside it; when it is dropped,
//! the OS thread is ending.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use super::Scheduler;

thread_local! {
    static CURRENT: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
    static ENDING: AtThreadEnd = const { AtThreadEnd };
}

/// The scheduler of the calling OS thread.
///
/// # Panics
///
/// If it is the first call on this OS thread and the system has no poller to give.
#[inline(always)]
#[track_caller]
pub(crate) fn current<'a>() -> &'a Scheduler {
    let scheduler = CURRENT.get();
    if scheduler.is_null() {
        return start_or_panic();
    }
    // SAFETY: it is freed at the end of the OS thread only, after `CURRENT` is reset, and the
    // functions on this stack that hold it are never continued then ([no-migration]).
    unsafe { &*scheduler }
}

/// As [`current`].
///
/// # Errors
///
/// Where `current` would panic.
#[inline]
#[track_caller]
pub(crate) fn try_current<'a>() -> io::Result<&'a Scheduler> {
    match if_current() {
        Some(scheduler) => Ok(scheduler),
        None => start(),
    }
}

/// The scheduler of the calling OS thread, if it has one.
#[inline(always)]
pub(crate) fn if_current<'a>() -> Option<&'a Scheduler> {
    // SAFETY: as in `current`.
    unsafe { CURRENT.get().as_ref() }
}

/// Returns the deadline `timeout` from now on the clock of this OS thread; `None` never passes.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    current().clock.deadline_after(timeout)
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
    // Registers the destructor. While the OS thread ends it cannot be had any more: then this
    // scheduler, made by the destructor of some other thread local, stays to the end.
    ENDING.try_with(|_| ()).ok();
    // SAFETY: started just now.
    Ok(unsafe { scheduler.as_ref() })
}

/// Its drop is the end of the OS thread.
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
        CURRENT.set(ptr::null());
        // SAFETY: this OS thread is the owner, is on its own stack, and has reset `CURRENT`.
        unsafe { super::os_thread_exit::end(scheduler.cast_mut()) };
    }
}
