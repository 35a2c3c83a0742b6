//! Requests to kill a green thread.
//!
//! A request marks the victim and, where that is possible, runs it at once, up to its next parking
//! point. The victim itself throws the kill, when its wait returns
//! ([`interrupt`](super::interrupt)).

use std::ptr;

use super::unwinding::{self, os_thread_panicking, panicking};
use crate::green::{GreenRef, Payload, State, Wake};
use crate::sched::{self, Scheduler};

/// Marks `victim`, of this scheduler, as killed without running it. Unlike [`request_kill`], this can
/// be called between two turns.
pub(super) fn request_kill_later(scheduler: &Scheduler, victim: GreenRef) {
    let is_marked = mark(victim);
    let is_deferred =
        victim.shields.get() > 0 || (victim.uninterruptible.get() && os_thread_panicking());
    if is_marked && !is_deferred {
        victim.uninterruptible.set(false);
        scheduler.unpark(victim, Wake::Interrupted);
    }
}

/// Marks `victim` as killed. Returns `false` if it was marked before, or has ended.
fn mark(victim: GreenRef) -> bool {
    if victim.killed.get() || victim.state.get() == State::Done {
        return false;
    }
    victim.killed.set(true);
    victim.update_interrupt_pending();
    true
}

/// Marks `victim` as killed, to unwind with `error` if there is one. A victim that is parked, ready
/// or not started runs at once, up to where it parks next.
///
/// Returns `true` if `victim` is the running green thread, and its caller must throw the kill.
pub(super) fn request_kill(victim: GreenRef, error: Option<Payload>) -> bool {
    let Some(scheduler) = sched::if_current() else {
        return false;
    };
    // The green threads of an OS thread that is ending stay where they are.
    let own = ptr::eq(victim.scheduler, ptr::from_ref(scheduler).cast());
    if !own || !mark(victim) {
        return false;
    }
    if error.is_some() {
        victim.cold_or_init().error.set(error);
    }
    match victim.state.get() {
        State::Ready(_) if victim == scheduler.running() => {
            return victim.kill_due() && !panicking();
        }
        State::Ready(_) | State::Parked if victim.shields.get() > 0 => {}
        // A destructor. If std knows of no panic, the victim has caught its panic, and the mark is
        // out of date.
        State::Parked if victim.uninterruptible.get() && os_thread_panicking() => {}
        State::Done => {}
        State::New | State::Ready(_) | State::Parked => {
            victim.uninterruptible.set(false);
            unwinding::switch_while_unwinding(scheduler, || {
                scheduler.run_now(victim, Wake::Interrupted);
            });
        }
    }
    false
}
