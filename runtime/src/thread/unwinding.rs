//! Which green thread is unwinding: std counts panics per OS thread, evy per green thread.
//!
//! A destructor that runs while its green thread unwinds may park. Until it continues,
//! `std::thread::panicking` returns `true` for every green thread of the OS thread. evy counts the
//! green threads that are parked in the middle of unwinding (`Scheduler::unwinding`):
//!
//! - If there are none, `std::thread::panicking` is about the running green thread, and correct.
//! - If there are some, the green thread's own record decides. The panic hook and `rethrow` record
//!   that it begins to unwind, `catch` that it has finished. `GreenThread::unwinding_since` is the
//!   number of the period in which it began. A record from before the current period
//!   (`Scheduler::unwinding_period`) is over, since that green thread would otherwise be among the
//!   ones that are parked.
//!
//! Two cases remain, both within such a period. A panic that the program catches itself, without a
//! function of evy, counts as in progress until the period ends: kills and timeouts of that green
//! thread are deferred until then. An unwinding that evy's panic hook does not see is not noticed: an
//! interrupt that is thrown in one of its destructors aborts the process, and it poisons no lock. That
//! is one that the program starts with `std::panic::resume_unwind`, or any after the program has
//! replaced the hook. The alternative, to defer every interrupt of the OS
//! thread, would let one green thread that is parked in a destructor hold back all the others.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::Result as Caught;

use super::count_guard::CountGuard;
use crate::green::Payload;
use crate::sched::{self, Scheduler};

/// Whether any green thread of this OS thread unwinds: the running one, or one that is parked in a
/// destructor.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks std, and knows what the answer means"
)]
#[inline(always)]
pub(crate) fn os_thread_panicking() -> bool {
    std::thread::panicking()
}

/// Returns `true` if the current green thread is unwinding, like [`std::thread::panicking`].
///
/// std counts the panics of an OS thread. While another green thread is parked in the middle of
/// unwinding, in a destructor, `std::thread::panicking` returns `true` for all others too; this
/// function does not.
///
/// # Examples
///
/// ```
/// assert!(!evy::thread::panicking());
/// ```
#[must_use]
#[inline]
pub fn panicking() -> bool {
    os_thread_panicking() && sched::if_current().is_none_or(is_running_panicking)
}

/// Whether the running green thread is the one that unwinds, on an OS thread that is panicking.
#[cold]
fn is_running_panicking(scheduler: &Scheduler) -> bool {
    // Under an identity, std counts the panics of this green thread alone.
    scheduler.unwinding.get() == 0
        || scheduler.running().pthread.get().is_some()
        || scheduler.running().unwinding_since.get() == scheduler.unwinding_period.get()
}

/// Unwinds with `payload`, and records that this green thread does.
pub(crate) fn rethrow(payload: Payload) -> ! {
    if let Some(scheduler) = sched::if_current() {
        record(scheduler, true);
    }
    resume_unwind(payload)
}

/// Runs `f` and catches its panic. Afterwards this green thread unwinds only if it did before.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Caught<T> {
    let before = panicking();
    let outcome = catch_unwind(AssertUnwindSafe(f));
    if outcome.is_err()
        && let Some(scheduler) = sched::if_current()
    {
        record(scheduler, before);
        scheduler.end_unwinding();
    }
    outcome
}

fn record(scheduler: &Scheduler, unwinding: bool) {
    let period = if unwinding {
        scheduler.unwinding_period.get()
    } else {
        0
    };
    scheduler.running().unwinding_since.set(period);
}

/// Runs `switch`, which lets other green threads run. If the running green thread is unwinding, it
/// is counted meanwhile.
#[inline]
pub(super) fn switch_while_unwinding<T>(scheduler: &Scheduler, switch: impl FnOnce() -> T) -> T {
    if !panicking() || scheduler.running().pthread.get().is_some() {
        return switch();
    }
    if scheduler.unwinding.get() == 0 {
        let period = scheduler.unwinding_period.get();
        scheduler.unwinding_period.set(period + 1);
    }
    let counted = CountGuard::new(&scheduler.unwinding);
    let value = switch();
    drop(counted);
    // If std knows of no panic, the record was wrong: the panic had been caught.
    record(scheduler, os_thread_panicking());
    value
}
