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
//!   destructor may park; it is left alone meanwhile.

use std::any::Any;
use std::panic::resume_unwind;
use std::ptr;
use std::time::Instant;

use crate::clock;
use crate::green::{GreenRef, GreenThread, State, TimeoutScope, WaitReason, Wake};
use crate::sched::{self, Scheduler};

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
pub(super) fn scope_id(scope: *const TimeoutScope) -> usize {
    scope.addr()
}

/// Parks the running green thread until it is unparked or `deadline` comes, and says which. A kill
/// or an enclosing timeout unwinds from here.
///
/// Other than these, only a program that cannot unwind (`panic = "abort"`) sees
/// [`Wake::Interrupted`].
///
/// # Panics
///
/// On the root green thread, when nothing can wake anybody any more; and inside `no_park`.
#[inline(always)]
pub(crate) fn wait(scheduler: &Scheduler, reason: WaitReason, deadline: Option<Instant>) -> Wake {
    let me = scheduler.running();
    if me.attention.get() || panicking() {
        return wait_attentively(scheduler, me, reason, deadline);
    }
    me.interruptible.set(me.shields.get() == 0);
    if let Some(deadline) = deadline {
        scheduler.timers.set(me, deadline);
    }
    match scheduler.park(reason) {
        Wake::Unparked if !me.attention.get() => Wake::Unparked,
        Wake::TimedOut => Wake::TimedOut,
        wake => after(scheduler, me, wake),
    }
}

/// The slow way: something is pending, or could become so.
#[cold]
#[inline(never)]
fn wait_attentively(
    scheduler: &Scheduler,
    me: GreenRef,
    reason: WaitReason,
    deadline: Option<Instant>,
) -> Wake {
    let unwinding = panicking();
    let scope = if unwinding { None } else { me.scope_deadline() };
    if !unwinding {
        if me.kill_due() {
            return throw(Interrupt::Kill);
        }
        if scope.is_some_and(|scope| scope <= scheduler.looked_at()) {
            return throw_expired(me);
        }
    }
    let first = match (deadline, scope) {
        (Some(own), Some(scope)) => Some(own.min(scope)),
        (own, scope) => own.or(scope),
    };
    me.interruptible.set(!unwinding && me.shields.get() == 0);
    if let Some(first) = first {
        scheduler.timers.set(me, first);
    }
    let wake = scheduler.park(reason);
    if unwinding {
        return if wake == Wake::Interrupted {
            Wake::Unparked
        } else {
            wake
        };
    }
    match wake {
        Wake::TimedOut if deadline != first => throw_expired(me),
        wake => after(scheduler, me, wake),
    }
}

/// What has ended a wait that was not simply unparked.
#[cold]
#[inline(never)]
fn after(scheduler: &Scheduler, me: GreenRef, wake: Wake) -> Wake {
    match wake {
        Wake::Stalled => panic!("{}", scheduler.stall_report()),
        Wake::TimedOut => Wake::TimedOut,
        Wake::Unparked | Wake::Interrupted if me.kill_due() => throw(Interrupt::Kill),
        Wake::Unparked | Wake::Interrupted => Wake::Unparked,
    }
}

/// Lets all other ready green threads run first. A point where a kill or a timeout is thrown.
#[inline(always)]
pub(crate) fn yield_now(scheduler: &Scheduler) {
    scheduler.yield_now();
    let me = scheduler.running();
    if me.attention.get() {
        after_yield(me);
    }
}

#[cold]
#[inline(never)]
fn after_yield(me: GreenRef) {
    if panicking() {
        return;
    }
    if me.kill_due() {
        throw(Interrupt::Kill);
    } else if me
        .scope_deadline()
        .is_some_and(|deadline| deadline <= clock::now())
    {
        throw_expired(me);
    }
}

/// Throws the timeout that comes first.
fn throw_expired(me: GreenRef) -> Wake {
    match me.first_scope() {
        Some(scope) => throw(Interrupt::Elapsed(scope_id(scope))),
        None => Wake::Unparked,
    }
}

/// Unwinds, where the program can.
fn throw(interrupt: Interrupt) -> Wake {
    if cfg!(panic = "abort") {
        return Wake::Interrupted;
    }
    resume_unwind(Box::new(interrupt))
}

/// Has `victim` unwind: at once if it is parked, ready or new, and up to where it stops next.
pub(super) fn kill(victim: GreenRef) {
    let Some(scheduler) = sched::if_current() else {
        return;
    };
    // One of an OS thread that is ending stays where it is.
    if !ptr::eq(victim.scheduler, ptr::from_ref(scheduler).cast()) || victim.killed.get() {
        return;
    }
    victim.killed.set(true);
    victim.look_again();
    match victim.state.get() {
        State::Running if victim.kill_due() && !panicking() => {
            throw(Interrupt::Kill);
        }
        State::Running | State::Done => {}
        State::New => scheduler.run_now(victim, Wake::Interrupted),
        State::Ready if victim.shields.get() == 0 => {
            scheduler.run_now(victim, Wake::Interrupted);
        }
        State::Parked if victim.interruptible.get() => {
            scheduler.run_now(victim, Wake::Interrupted);
        }
        State::Ready | State::Parked => {}
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

/// Whether this OS thread unwinds: the running green thread, or another that parks in a destructor.
/// std keeps one count for all; if in doubt, nothing is thrown.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks, and knows what it means"
)]
#[inline(always)]
pub(crate) fn panicking() -> bool {
    std::thread::panicking()
}

const _: () = assert!(
    size_of::<GreenThread>() <= 512,
    "a control block leaves room on its page"
);
