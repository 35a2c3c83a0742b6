//! Charging operations to the budget of the running green thread ([`sched`](crate::sched)).
//!
//! Every operation that can be repeated without parking is charged, because a green thread that
//! repeats it would starve the others:
//!
//! | operation | if the budget is spent |
//! | --- | --- |
//! | may park (`get`, `recv`, `lock`, a read) | yields before it begins, unless it is going to park |
//! | must not switch and succeeds (`try_get`, `send` of an event, `release`) | begins nevertheless |
//! | must not switch and fails (`try_get` of an empty queue) | yields after 128 failures in one turn |
//!
//! The third row is for a loop that repeats a `try_*` until it succeeds.
//!
//! What creates a descriptor counts as an operation that may park, although it never has to. What
//! only asks or sets something is not charged, such as `is_finished`, `len` or an option of a socket.
//! Programs call it while they hold a borrow, so it must not switch; and a loop that waits for its
//! answer to change has to yield.

use super::interrupt;
use crate::sched::{self, Scheduler};

/// Charges an operation that may park. Called before the operation begins.
///
/// Yields if the budget is spent and `is_going_to_park` returns `false`. A kill is thrown here too,
/// before the operation has done anything. So is a timeout, but not at the first yield after its
/// deadline: what the operation asks for may have happened meanwhile.
#[inline(always)]
pub(crate) fn charge(is_going_to_park: impl FnOnce() -> bool) {
    if let Some(scheduler) = sched::charge()
        && !is_going_to_park()
    {
        yield_spent(scheduler);
    }
}

/// Charges an operation that does not park. Never switches.
#[inline(always)]
pub(crate) fn charge_without_yield() {
    let _: Option<&Scheduler> = sched::charge();
}

/// Runs and charges an operation that must not switch. If `has_failed` says that it could not be done
/// without parking, that is charged too.
#[inline(always)]
pub(crate) fn charge_try<R>(op: impl FnOnce() -> R, has_failed: impl FnOnce(&R) -> bool) -> R {
    charge_without_yield();
    let result = op();
    if has_failed(&result) {
        charge_failure();
    }
    result
}

/// Charges an operation that has failed instead of parking.
#[cold]
pub(crate) fn charge_failure() {
    if let Some(scheduler) = sched::if_current()
        && scheduler.charge_failure()
    {
        yield_spent(scheduler);
    }
}

/// Lets the others run. A panic hook must not park, so nothing happens there.
#[cold]
#[inline(never)]
fn yield_spent(scheduler: &Scheduler) {
    if scheduler.may_park() {
        interrupt::yield_spent(scheduler);
    }
}
