//! Requests to kill a green thread.
//!
//! A request marks the victim and, where that is possible, runs it at once, up to its next parking
//! point. The victim itself throws the kill, when its wait returns
//! ([`interrupt`](super::interrupt)).

use std::ptr;

use super::unwinding::{self, os_thread_panicking, panicking};
use crate::green::{GreenRef, Payload, State, Wake};
use crate::sched;

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
    if !own || victim.killed.get() || victim.state.get() == State::Done {
        return false;
    }
    victim.killed.set(true);
    victim.update_interrupt_pending();
    if error.is_some() {
        victim.cold_or_init().error.set(error);
    }
    match victim.state.get() {
        State::Ready(_) if victim == scheduler.running() => {
            return victim.kill_due() && !panicking();
        }
        State::Ready(_) if victim.shields.get() > 0 => {}
        State::Parked if !victim.is_interruptible() && is_mark_valid(victim) => {}
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

/// Whether a parked victim defers its kill for a reason that still holds: a shield, or a destructor
/// that runs while some green thread unwinds.
fn is_mark_valid(victim: GreenRef) -> bool {
    victim.shields.get() > 0 || os_thread_panicking()
}
