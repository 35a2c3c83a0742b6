//! Fault injection: the interruption that a test has planned for a parking point
//! ([`test::inject_faults`](crate::test::inject_faults)).

use std::panic::Location;
use std::time::{Duration, Instant};

use super::kill::request_kill;
use super::unwinding::rethrow;
use crate::green::GreenRef;
use crate::sched::{self, Fault, Scheduler, SpawnOptions, unwrap_spawn};

/// The panic message of an injected panic.
pub(crate) const INJECTED_PANIC: &str = "a panic injected by a test";

/// Arranges for `fault` to happen while `me` is parked, before `me` parks.
pub(super) fn before_park(scheduler: &Scheduler, me: GreenRef, fault: Fault) {
    match fault {
        Fault::Kill => {
            let handle = scheduler.remote_handle(me);
            run_next(scheduler, move || {
                if let Some(victim) = sched::current().own_green(&handle) {
                    request_kill(victim, None);
                }
            });
        }
        // The deadline lies one moment ahead, so that it passes while `me` is parked. It passes
        // before the ready green threads can do anything for `me`.
        Fault::Timeout => {
            let moment = scheduler.clock.now() + Duration::from_nanos(1);
            expire_outermost(me, moment);
            run_next(scheduler, move || sched::current().advance_clock_to(moment));
        }
        Fault::KillAfterWake | Fault::Panic => {}
    }
}

/// Makes `fault` happen now that `me` has been woken. Returns `true` if `me` is to throw a kill.
pub(super) fn after_wake(me: GreenRef, fault: Fault) -> bool {
    match fault {
        Fault::KillAfterWake => {
            me.killed.set(true);
            true
        }
        Fault::Panic => rethrow(Box::new(INJECTED_PANIC)),
        Fault::Kill | Fault::Timeout => false,
    }
}

/// Makes `fault` happen at a yield.
#[cold]
pub(super) fn at_yield(scheduler: &Scheduler, me: GreenRef, fault: Fault) {
    match fault {
        Fault::Kill | Fault::KillAfterWake => me.killed.set(true),
        Fault::Timeout => expire_outermost(me, scheduler.clock.now()),
        Fault::Panic => rethrow(Box::new(INJECTED_PANIC)),
    }
}

/// Runs `f` on a green thread of its own, before all that are ready.
fn run_next(scheduler: &Scheduler, f: impl FnOnce() + 'static) {
    unwrap_spawn(scheduler.spawn(SpawnOptions::new(Location::caller()), None, f));
    scheduler.run_newest_next();
}

/// Sets the deadline of the timeout scope around all that `me` does.
fn expire_outermost(me: GreenRef, deadline: Instant) {
    let mut next = me.timeout_scopes.get();
    // SAFETY: a linked scope lies in a frame of `me`, which has not ended (`thread::timeout`).
    while let Some(scope) = unsafe { next.as_ref() } {
        if scope.outer.is_null() {
            scope.deadline.set(Some(deadline));
            // At a yield it is thrown at once.
            scope.is_overdue.set(true);
        }
        next = scope.outer;
    }
}
