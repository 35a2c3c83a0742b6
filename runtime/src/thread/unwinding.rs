//! Who unwinds: std counts the panics of an OS thread, not of a green thread.
//!
//! A destructor that runs while its green thread unwinds may park. Until it goes on,
//! `std::thread::panicking` is true for every green thread of the OS thread. evy keeps the number of
//! those that are parked in the middle of unwinding (`Scheduler::unwinding`):
//!
//! - none: `panicking` speaks of the running green thread, and is right;
//! - some: what the running one has seen itself counts. The panic hook and `rethrow` say when it
//!   begins to unwind, `catch` when that ends. `GreenThread::unwinding_since` is the number of the period in
//!   which it began; what lies before the present period (`Scheduler::unwinding_period`) is over, or
//!   the green thread would be among those that are parked.
//!
//! Where std's count alone is asked, and says that somebody unwinds, a green thread that parks is held
//! back from kills and timeouts, although it may not be meant. When the last of those that unwind goes
//! on, it looks again.
//!
//! Two cases are left, both in such a period. A panic that the program catches by itself, not by a
//! tool of evy, is taken to go on until the period ends. An unwinding that it begins by
//! `std::panic::resume_unwind`, which no hook sees, is not noticed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::Result as Caught;

use crate::green::Payload;
use crate::sched::{self, Scheduler};

/// Whether this OS thread unwinds: the running green thread, or another that parks in a destructor.
/// If in doubt, nothing is thrown.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks, and knows what it means"
)]
#[inline(always)]
pub(crate) fn os_thread_panicking() -> bool {
    std::thread::panicking()
}

/// Returns `true` if the current green thread is unwinding, like [`std::thread::panicking`].
///
/// std counts the panics of an OS thread. Where another green thread is parked in the middle of
/// unwinding, in a destructor, `std::thread::panicking` returns `true` for all of its neighbours;
/// this function does not.
///
/// # Examples
///
/// ```
/// assert!(!evy_runtime::thread::panicking());
/// ```
#[must_use]
#[inline]
pub fn panicking() -> bool {
    os_thread_panicking() && sched::if_current().is_none_or(is_green_thread_panicking)
}

/// For an OS thread that is panicking.
#[cold]
fn is_green_thread_panicking(scheduler: &Scheduler) -> bool {
    scheduler.unwinding.get() == 0
        || scheduler.running().unwinding_since.get() == scheduler.unwinding_period.get()
}

/// Unwinds with `payload`, and remembers that this green thread does.
pub(crate) fn rethrow(payload: Payload) -> ! {
    if let Some(scheduler) = sched::if_current() {
        set(scheduler, true);
    }
    resume_unwind(payload)
}

/// Runs `f` and catches what it throws, after which this green thread unwinds no more than before.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Caught<T> {
    let before = panicking();
    let outcome = catch_unwind(AssertUnwindSafe(f));
    if outcome.is_err()
        && let Some(scheduler) = sched::if_current()
    {
        set(scheduler, before);
    }
    outcome
}

fn set(scheduler: &Scheduler, unwinding: bool) {
    let period = if unwinding {
        scheduler.unwinding_period.get()
    } else {
        0
    };
    scheduler.running().unwinding_since.set(period);
}

/// Runs `switch`, which lets others run, and has them know if the running green thread unwinds.
#[inline]
pub(super) fn switch_while_unwinding<T>(scheduler: &Scheduler, switch: impl FnOnce() -> T) -> T {
    if !panicking() {
        return switch();
    }
    if scheduler.unwinding.get() == 0 {
        let period = scheduler.unwinding_period.get();
        scheduler.unwinding_period.set(period + 1);
    }
    let counted = count(&scheduler.unwinding);
    let value = switch();
    drop(counted);
    set(scheduler, true);
    if scheduler.unwinding.get() == 0 {
        scheduler.wake_deferred();
    }
    value
}

/// Counts one more until the guard is dropped.
pub(crate) fn count(counter: &Cell<usize>) -> impl Drop {
    struct Counted<'a>(&'a Cell<usize>);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    counter.set(counter.get() + 1);
    Counted(counter)
}
