//! Waiting, with everything that can end a wait: the only place that unwinds a green thread.
//!
//! `wait` is the scheduler's `park` plus deadlines, kills and timeouts. All that is above this layer
//! parks through it. A kill or an expired timeout is thrown here, in Rust code and on the green
//! thread's own stack, after the switch has returned: as a panic that the panic hook does not see.
//!
//! # When something is thrown
//!
//! - A kill: when it comes, if the green thread is parked; else where it parks or yields next. It
//!   stays due until the green thread ends: who swallows one gets it again.
//! - A timeout: when its deadline has come and the green thread is parked, unless what it waits for
//!   has come as well. One that was past already at the scheduler's last look at the clock is thrown
//!   before parking: else data that keeps coming would put it off for ever.
//! - Nothing under a shield (a timeout opened under it excepted), and nothing while the OS thread
//!   unwinds: a second unwinding out of a destructor would abort. `[no-throw-while-panicking]` A
//!   destructor may park; it is left alone meanwhile. So is, to be safe, who parks meanwhile: when the
//!   destructor goes on, it is woken to wait anew.

use std::any::Any;
use std::panic::Location;
use std::ptr;
use std::time::{Duration, Instant};

use super::unwinding::{self, os_thread_panicking, rethrow};
use crate::green::{GreenRef, GreenThread, Payload, State, TimeoutScope, WaitReason, Wake};
use crate::sched::{self, Fault, Scheduler, SpawnOptions};

/// What is thrown. Nobody outside can make one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    Kill,
    /// The address of the scope that has expired.
    Elapsed(usize),
}

/// Whether a caught panic is a kill on its way: a program that catches panics should let it pass
/// (`resume_unwind`). It comes again at the next parking point if not.
///
/// Never parks.
#[must_use]
pub fn is_kill(payload: &(dyn Any + Send)) -> bool {
    matches!(payload.downcast_ref(), Some(Interrupt::Kill))
}

/// The name of a scope in an [`Interrupt`].
pub(super) fn scope_addr(scope: *const TimeoutScope) -> usize {
    scope.addr()
}

/// Parks the running green thread until it is unparked or `deadline` comes, and says which. A kill
/// or an enclosing timeout unwinds from here.
///
/// In a program that cannot unwind (`panic = "abort"`) neither has any effect.
///
/// # Panics
///
/// On the root green thread, when nothing can wake anybody any more; and inside `no_park`.
#[inline(always)]
pub(crate) fn wait(scheduler: &Scheduler, reason: WaitReason, deadline: Option<Instant>) -> Wake {
    match wait_or_fail(scheduler, reason, deadline) {
        Wake::Interrupted if cfg!(panic = "abort") => {
            shield(|| wait_or_fail(scheduler, reason, deadline))
        }
        wake => wake,
    }
}

/// As [`wait`], for a caller that can fail: a program that cannot unwind sees [`Wake::Interrupted`],
/// at once and again for as long as the kill or the timeout is due.
///
/// # Panics
///
/// As `wait`.
#[inline(always)]
pub(crate) fn wait_or_fail(
    scheduler: &Scheduler,
    reason: WaitReason,
    deadline: Option<Instant>,
) -> Wake {
    let me = scheduler.running();
    // Here, and not further in, where it would be copied through memory.
    me.reason.set(reason);
    if me.interrupt_pending.get() || os_thread_panicking() {
        return wait_slow(scheduler, me, deadline);
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

/// The slow way: something is pending, or could become so.
#[cold]
#[inline(never)]
fn wait_slow(scheduler: &Scheduler, me: GreenRef, deadline: Option<Instant>) -> Wake {
    let unwinding = os_thread_panicking();
    if unwinding {
        scheduler.check_may_park(me.reason.get());
    }
    let scope = if unwinding { None } else { me.scope_deadline() };
    if !unwinding {
        if me.kill_due() {
            return throw_kill(me);
        }
        if scope.is_some_and(|scope| scope <= scheduler.last_now()) {
            return throw_expired(me);
        }
        if scope.is_some() {
            scheduler.clock_read_requested.set(true);
        }
    }
    let fault = match unwinding {
        true => None,
        false => scheduler.take_due_fault(me),
    };
    if let Some(fault) = fault {
        return wait_with_fault(scheduler, me, deadline, fault);
    }
    let first = match (deadline, scope) {
        (Some(own), Some(scope)) => Some(own.min(scope)),
        (own, scope) => own.or(scope),
    };
    me.uninterruptible.set(unwinding);
    if unwinding && !unwinding::panicking() {
        scheduler.interrupts_deferred.set(true);
    }
    if let Some(first) = first {
        scheduler.timers.set(me, first);
    }
    let wake = match unwinding {
        true => unwinding::switch_while_unwinding(scheduler, || scheduler.park(me)),
        false => scheduler.park(me),
    };
    if unwinding {
        me.uninterruptible.set(false);
        return if wake == Wake::Interrupted {
            Wake::Unparked
        } else {
            wake
        };
    }
    match wake {
        Wake::TimedOut if deadline != first => throw_expired(me),
        wake => finish_wait(scheduler, me, wake),
    }
}

/// What has ended a wait that was not simply unparked.
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

/// Lets all other ready green threads run first. A point where a kill or a timeout is thrown.
#[inline(always)]
pub(crate) fn yield_scheduler(scheduler: &Scheduler) {
    if os_thread_panicking() {
        return yield_while_unwinding(scheduler);
    }
    let me = scheduler.yield_now();
    if me.interrupt_pending.get() {
        finish_yield(scheduler, me);
    }
}

#[cold]
#[inline(never)]
fn yield_while_unwinding(scheduler: &Scheduler) {
    scheduler.check_may_park(WaitReason::Other("its turn"));
    unwinding::switch_while_unwinding(scheduler, || scheduler.yield_now());
}

#[cold]
#[inline(never)]
fn finish_yield(scheduler: &Scheduler, me: GreenRef) {
    if os_thread_panicking() {
        return;
    }
    match scheduler.take_due_fault(me) {
        Some(Fault::Kill | Fault::KillAfterWake) => me.killed.set(true),
        Some(Fault::Timeout) => expire_outermost(me, scheduler.clock.now()),
        Some(Fault::Panic) => rethrow(Box::new(INJECTED_PANIC)),
        None => {}
    }
    if me.kill_due() {
        throw_kill(me);
    } else if me
        .scope_deadline()
        .is_some_and(|deadline| deadline <= scheduler.clock.now())
    {
        throw_expired(me);
    }
}

/// Parks, with the interruption that a test has asked for here.
#[cold]
#[inline(never)]
fn wait_with_fault(
    scheduler: &Scheduler,
    me: GreenRef,
    deadline: Option<Instant>,
    fault: Fault,
) -> Wake {
    match fault {
        Fault::Kill => {
            let handle = scheduler.handle(me);
            run_next(scheduler, move || {
                // SAFETY: green threads do not leave their OS thread, and `me` is of this one.
                if let Some(victim) = unsafe { handle.green() } {
                    kill(victim, None);
                }
            });
        }
        // A moment after this one, so that it comes while it is parked; and before whatever those
        // who are ready would do for it.
        Fault::Timeout => {
            let moment = scheduler.clock.now() + Duration::from_nanos(1);
            expire_outermost(me, moment);
            run_next(scheduler, move || sched::current().advance_clock_to(moment));
        }
        Fault::KillAfterWake | Fault::Panic => {}
    }
    let wake = wait_slow(scheduler, me, deadline);
    match fault {
        Fault::KillAfterWake => {
            me.killed.set(true);
            throw_kill(me)
        }
        Fault::Panic => rethrow(Box::new(INJECTED_PANIC)),
        Fault::Kill | Fault::Timeout => wake,
    }
}

/// Has a green thread of its own run `f`, before all who are ready.
fn run_next(scheduler: &Scheduler, f: impl FnOnce() + 'static) {
    let spawned = scheduler.spawn(SpawnOptions::new(Location::caller()), None, f);
    super::functions::unwrap_spawn(spawned);
    scheduler.run_newest_next();
}

/// What a victim panics with where a test wants it to.
pub(crate) const INJECTED_PANIC: &str = "struck by a test";

/// Sets the deadline of the timeout around all that `me` does.
fn expire_outermost(me: GreenRef, deadline: Instant) {
    let mut at = me.timeout_scopes.get();
    // SAFETY: a linked scope lies in a frame below the caller's (`thread::timeout`).
    while let Some(scope) = unsafe { at.as_ref() } {
        if scope.outer.is_null() {
            scope.deadline.set(Some(deadline));
        }
        at = scope.outer;
    }
}

/// Throws the timeout that comes first.
fn throw_expired(me: GreenRef) -> Wake {
    match me.first_scope() {
        Some(scope) => throw(Interrupt::Elapsed(scope_addr(scope))),
        None => Wake::Unparked,
    }
}

/// Throws the kill that is due: with its own error the first time, if it has one.
fn throw_kill(me: GreenRef) -> Wake {
    match me.cold().and_then(|cold| cold.error.take()) {
        Some(error) if !cfg!(panic = "abort") => rethrow(error),
        _ => throw(Interrupt::Kill),
    }
}

/// Unwinds, where the program can.
fn throw(interrupt: Interrupt) -> Wake {
    if cfg!(panic = "abort") {
        return Wake::Interrupted;
    }
    rethrow(Box::new(interrupt))
}

/// Has `victim` unwind, with `error` if there is one: at once if it is parked, ready or new, and up
/// to where it stops next.
pub(super) fn kill(victim: GreenRef, error: Option<Payload>) {
    let Some(scheduler) = sched::if_current() else {
        return;
    };
    // One of an OS thread that is ending stays where it is.
    let own = ptr::eq(victim.scheduler, ptr::from_ref(scheduler).cast());
    if !own || victim.killed.get() || victim.state.get() == State::Done {
        return;
    }
    victim.killed.set(true);
    victim.update_interrupt_pending();
    if error.is_some() {
        victim.cold_or_init().error.set(error);
    }
    match victim.state.get() {
        State::Ready(_) if victim == scheduler.running() => {
            if victim.kill_due() && !os_thread_panicking() {
                throw_kill(victim);
            }
        }
        State::Ready(_) if victim.shields.get() > 0 => {}
        State::Parked if !victim.is_interruptible() => {}
        State::Done => {}
        State::New | State::Ready(_) | State::Parked => {
            unwinding::switch_while_unwinding(scheduler, || {
                scheduler.run_now(victim, Wake::Interrupted);
            });
        }
    }
}

/// Runs `f` with kills and timeouts held back: they are thrown at the first parking point after it.
/// A timeout that is opened inside works as ever.
///
/// For the few lines that must not be torn in two, where they park. It parks where `f` does.
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    struct Unshield(GreenRef);
    impl Drop for Unshield {
        fn drop(&mut self) {
            self.0.shields.set(self.0.shields.get() - 1);
        }
    }
    let me = sched::current().running();
    me.shields.set(me.shields.get() + 1);
    let _unshield = Unshield(me);
    f()
}

const _: () = assert!(
    size_of::<GreenThread>() <= 512,
    "a control block leaves room on its page"
);
