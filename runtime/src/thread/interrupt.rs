//! Waiting, and everything that can end a wait: the only place that unwinds a green thread.
//!
//! `wait` is the scheduler's `park` plus deadlines, kills and timeouts. Every layer above parks
//! through it. A kill or an expired timeout is thrown here, in Rust code and on the green thread's
//! own stack, after the switch has returned. It is a panic that the panic hook does not see.
//!
//! # When something is thrown
//!
//! - A kill is thrown when it is requested, if the green thread is parked; otherwise at its next
//!   parking point or yield. It stays pending until the green thread ends: a kill that is caught is
//!   thrown again.
//! - A timeout is thrown when its deadline has passed and the green thread is parked. It is not
//!   thrown if what the green thread waits for has happened as well. A deadline that had passed
//!   when the scheduler last read the clock is thrown before parking. Otherwise a steady stream of
//!   data would defer it forever.
//! - A spent budget is no parking point: the operation that yields may succeed. So the first yield
//!   after the deadline of a timeout throws nothing. A later one does, because a loop over operations
//!   that never park would not end otherwise.
//! - Nothing is thrown under a shield, except a timeout opened under that shield.
//! - Nothing is thrown while the green thread is unwinding, because a second panic that leaves a
//!   destructor aborts the process. `[no-throw-while-unwinding]` A destructor may park, and is not
//!   interrupted meanwhile. A timeout that the destructor itself opens ends waits that can fail with
//!   an error, but nothing is thrown. Other green threads are not concerned
//!   ([`unwinding`](super::unwinding)).
//! - An interrupt that is thrown without a wait, after another one was thrown and caught, lets the
//!   other green threads run first. A loop that catches what is thrown would starve them otherwise.

use std::any::Any;
use std::io;
use std::time::Instant;

use super::fault;
use super::kill::request_kill;
use super::shield::shield;
use super::unwinding::{self, os_thread_panicking, panicking, rethrow};
use crate::green::{GreenRef, GreenThread, Payload, TimeoutScope, WaitReason, Wake};
use crate::sched::{self, Fault, Scheduler};

/// The payload of a kill or a timeout. Code outside of this crate cannot create one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    Kill,
    /// Holds the address of the expired timeout scope.
    Elapsed(usize),
}

/// Returns `true` if a caught panic payload is a kill in progress.
///
/// A program that catches panics should pass such a payload to [`std::panic::resume_unwind`]. If it
/// does not, the kill is thrown again at the next parking point.
///
/// # Examples
///
/// ```
/// use std::panic::{catch_unwind, resume_unwind};
///
/// let worker = evy::spawn(|| {
///     if let Err(payload) = catch_unwind(evy::thread::park) {
///         assert!(evy::thread::is_kill(&*payload));
///         resume_unwind(payload);
///     }
/// });
/// evy::yield_now();
/// worker.kill();
/// assert!(worker.join().unwrap_err().is_killed());
/// ```
#[must_use]
pub fn is_kill(payload: &(dyn Any + Send)) -> bool {
    matches!(payload.downcast_ref(), Some(Interrupt::Kill))
}

/// Identifies a timeout scope in an [`Interrupt`].
pub(super) fn scope_addr(scope: *const TimeoutScope) -> usize {
    scope.addr()
}

/// Parks the running green thread until it is unparked or `deadline` passes, and returns which of
/// them happened. A kill or an enclosing timeout unwinds from here.
///
/// In a program that cannot unwind (`panic = "abort"`) kills and timeouts have no effect here.
///
/// # Panics
///
/// Panics on the root green thread if a deadlock is detected, and inside `no_park`.
#[inline(always)]
pub(crate) fn wait(scheduler: &Scheduler, reason: WaitReason, deadline: Option<Instant>) -> Wake {
    match wait_as(scheduler, reason, deadline, Failure::Impossible) {
        Wake::Interrupted if cfg!(panic = "abort") => {
            shield(|| wait_as(scheduler, reason, deadline, Failure::Impossible))
        }
        wake => wake,
    }
}

/// Like [`wait`], for callers that can return an error.
///
/// In a program that cannot unwind it returns [`Wake::Interrupted`] immediately, for as long as a
/// kill or a timeout is due. In a destructor that runs while its green thread unwinds, it returns
/// [`Wake::TimedOut`] when a timeout that the destructor has opened expires.
///
/// # Panics
///
/// Panics as `wait` does.
#[inline(always)]
pub(crate) fn wait_or_fail(
    scheduler: &Scheduler,
    reason: WaitReason,
    deadline: Option<Instant>,
) -> Wake {
    wait_as(scheduler, reason, deadline, Failure::Possible)
}

/// Whether the caller of a wait can return an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Possible,
    Impossible,
}

#[inline(always)]
fn wait_as(
    scheduler: &Scheduler,
    reason: WaitReason,
    deadline: Option<Instant>,
    failure: Failure,
) -> Wake {
    let me = scheduler.running();
    // Set here, where it is inlined; deeper inside it would be copied through memory.
    me.reason.set(reason);
    if me.interrupt_pending.get() || os_thread_panicking() {
        return wait_slow(scheduler, me, deadline, failure);
    }
    if let Some(deadline) = deadline {
        scheduler.timers.set(me, deadline);
    }
    match scheduler.park(me) {
        Wake::Unparked if !me.interrupt_pending.get() => Wake::Unparked,
        Wake::TimedOut => Wake::TimedOut,
        wake => finish_wait(scheduler, me, wake),
    }
}

/// The slow path of a wait: something is pending, or may become pending meanwhile.
#[cold]
#[inline(never)]
fn wait_slow(
    scheduler: &Scheduler,
    me: GreenRef,
    deadline: Option<Instant>,
    failure: Failure,
) -> Wake {
    if panicking() {
        return wait_while_unwinding(scheduler, me, deadline, failure);
    }
    let scope = me.scope_deadline();
    let is_expired = scope.is_some_and(|scope| scope <= scheduler.last_now());
    if me.kill_due() || is_expired {
        // What it waits for may happen while the others run. Then a timeout has no effect.
        if me.interrupt_thrown.get() && scheduler.step_aside(me) == Wake::Unparked && !me.kill_due()
        {
            return Wake::Unparked;
        }
        return match me.kill_due() {
            true => throw_kill(me),
            false => throw_expired(me),
        };
    }
    if scope.is_some() {
        scheduler.clock_read_requested.set(true);
    }
    if let Some(fault) = scheduler.take_due_fault(me) {
        return wait_with_fault(scheduler, me, deadline, failure, fault);
    }
    let first = earlier(deadline, scope);
    if let Some(first) = first {
        scheduler.timers.set(me, first);
    }
    match scheduler.park(me) {
        Wake::TimedOut if deadline != first => throw_expired(me),
        wake => finish_wait(scheduler, me, wake),
    }
}

/// A wait in a destructor, while its green thread unwinds. Nothing interrupts it.
fn wait_while_unwinding(
    scheduler: &Scheduler,
    me: GreenRef,
    deadline: Option<Instant>,
    failure: Failure,
) -> Wake {
    scheduler.check_may_park(me.reason.get());
    let scope = match failure {
        Failure::Possible => me.destructor_deadline(),
        Failure::Impossible => None,
    };
    if let Some(first) = earlier(deadline, scope) {
        scheduler.timers.set(me, first);
    }
    me.uninterruptible.set(true);
    let wake = unwinding::switch_while_unwinding(scheduler, || scheduler.park(me));
    me.uninterruptible.set(false);
    match wake {
        Wake::Interrupted => Wake::Unparked,
        wake => wake,
    }
}

/// Whether a timeout has expired that a destructor has opened, while its green thread unwinds. An
/// operation that can fail returns an error then.
#[inline]
pub(crate) fn is_destructor_timed_out(scheduler: &Scheduler) -> bool {
    os_thread_panicking() && is_destructor_timed_out_slow(scheduler)
}

#[cold]
fn is_destructor_timed_out_slow(scheduler: &Scheduler) -> bool {
    let deadline = scheduler.running().destructor_deadline();
    panicking() && deadline.is_some_and(|deadline| deadline <= scheduler.clock.now())
}

/// Returns the earlier of two deadlines, either of which may be none.
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Handles a wake-up that was not a plain unpark.
#[cold]
#[inline(never)]
fn finish_wait(scheduler: &Scheduler, me: GreenRef, wake: Wake) -> Wake {
    match wake {
        Wake::Deadlocked => panic!("{}", scheduler.deadlock_report()),
        Wake::TimedOut => Wake::TimedOut,
        Wake::Unparked | Wake::Interrupted if me.kill_due() => throw_kill(me),
        Wake::Unparked | Wake::Interrupted => Wake::Unparked,
    }
}

/// Parks while `fault` happens.
#[cold]
#[inline(never)]
fn wait_with_fault(
    scheduler: &Scheduler,
    me: GreenRef,
    deadline: Option<Instant>,
    failure: Failure,
    fault: Fault,
) -> Wake {
    fault::before_park(scheduler, me, fault);
    let wake = wait_slow(scheduler, me, deadline, failure);
    if fault::after_wake(me, fault) {
        return throw_kill(me);
    }
    wake
}

/// Lets every other ready green thread run first. A pending kill or timeout is thrown here.
#[inline(always)]
pub(crate) fn yield_scheduler(scheduler: &Scheduler) {
    if os_thread_panicking() {
        return yield_while_panicking(scheduler);
    }
    let me = scheduler.yield_now();
    if me.interrupt_pending.get() {
        finish_yield(scheduler, me, YieldReason::Asked);
    }
}

/// Lets every other ready green thread run before an operation begins, or after it has failed,
/// because the budget is spent. A pending kill is thrown here, and an overdue timeout.
pub(super) fn yield_spent(scheduler: &Scheduler) {
    let me = unwinding::switch_while_unwinding(scheduler, || scheduler.yield_now());
    if me.interrupt_pending.get() && !panicking() {
        finish_yield(scheduler, me, YieldReason::SpentBudget);
    }
}

/// Lets every other ready green thread run first. Nothing is thrown here.
pub(crate) fn yield_uninterrupted() {
    let scheduler = sched::current();
    if scheduler.may_park() {
        unwinding::switch_while_unwinding(scheduler, || scheduler.yield_now());
    }
}

#[cold]
#[inline(never)]
fn yield_while_panicking(scheduler: &Scheduler) {
    scheduler.check_may_park(WaitReason::Other("its next turn"));
    let me = unwinding::switch_while_unwinding(scheduler, || scheduler.yield_now());
    if me.interrupt_pending.get() && !panicking() {
        finish_yield(scheduler, me, YieldReason::Asked);
    }
}

/// Why a green thread yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum YieldReason {
    Asked,
    SpentBudget,
}

#[cold]
#[inline(never)]
fn finish_yield(scheduler: &Scheduler, me: GreenRef, reason: YieldReason) {
    if let Some(fault) = scheduler.take_due_fault(me) {
        fault::at_yield(scheduler, me, fault);
    }
    if me.kill_due() {
        throw_kill(me);
        return;
    }
    let Some(scope) = me.first_scope() else {
        return;
    };
    let deadline = scope.deadline.get();
    let is_expired = deadline.is_some_and(|deadline| deadline <= scheduler.clock.now());
    if is_expired && (reason == YieldReason::Asked || scope.is_overdue.replace(true)) {
        throw_expired(me);
    }
}

/// Kills `victim`, with `error` as its payload if there is one. Unwinds here if `victim` is the
/// running green thread.
pub(super) fn kill(victim: GreenRef, error: Option<Payload>) {
    if request_kill(victim, error) {
        throw_kill(victim);
    }
}

/// Throws the timeout that expires first.
fn throw_expired(me: GreenRef) -> Wake {
    match me.first_scope() {
        Some(scope) => throw(me, Interrupt::Elapsed(scope_addr(scope))),
        None => Wake::Unparked,
    }
}

/// Throws the pending kill. The first time it carries the error of `kill_with`, if there is one.
fn throw_kill(me: GreenRef) -> Wake {
    match me.cold().and_then(|cold| cold.error.take()) {
        Some(error) if !cfg!(panic = "abort") => rethrow(error),
        _ => throw(me, Interrupt::Kill),
    }
}

/// Unwinds `me` with `interrupt`, if the program can unwind.
fn throw(me: GreenRef, interrupt: Interrupt) -> Wake {
    if cfg!(panic = "abort") {
        return Wake::Interrupted;
    }
    me.interrupt_thrown.set(true);
    rethrow(Box::new(interrupt))
}

/// Returns the error of an interrupted wait in a program that cannot unwind.
#[cold]
pub(crate) fn interrupted_error() -> io::Error {
    io::Error::other("the wait was interrupted by a kill or a timeout")
}

const _: () = assert!(
    size_of::<GreenThread>() <= 512,
    "a control block leaves room on its page"
);
