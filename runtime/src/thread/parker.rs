//! Whoever waits for something that OS threads share: a green thread of any of them, or an OS thread
//! that has never used evy, and that blocks as usual.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::count_guard::CountGuard;
use super::interrupt;
use crate::clock::Clock;
use crate::green::RemoteHandle;
use crate::green::{WaitReason, Wake};
use crate::sched;

/// The means to have one waiter look again, from any OS thread.
#[derive(Debug)]
pub(crate) struct Parker(ParkerKind);

#[derive(Debug)]
enum ParkerKind {
    Green(Arc<RemoteHandle>),
    Os(std::thread::Thread),
}

impl Parker {
    /// The caller's own.
    pub(crate) fn current() -> Self {
        Self(match sched::if_current() {
            Some(scheduler) => ParkerKind::Green(scheduler.remote_handle(scheduler.running())),
            None => ParkerKind::Os(std::thread::current()),
        })
    }

    /// Has it look again. Nothing happens if it has ended.
    pub(crate) fn unpark(&self) {
        let handle = match &self.0 {
            ParkerKind::Green(handle) => handle,
            ParkerKind::Os(thread) => return thread.unpark(),
        };
        match sched::if_current() {
            Some(scheduler) if scheduler.is_own(&handle.scheduler) => {
                if let Some(green) = scheduler.own_green(handle) {
                    scheduler.unpark(green, Wake::Unparked);
                }
            }
            _ => handle.send(),
        }
    }
}

/// Parks for as long as `waiting` says; somebody unparks the caller's [`Parker`] after each change.
/// `false`: the deadline came first. A green thread may unwind from here.
#[expect(
    clippy::disallowed_methods,
    reason = "an OS thread without green threads may block"
)]
pub(crate) fn park_while(
    reason: WaitReason,
    deadline: Option<Instant>,
    waiting: impl Fn() -> bool,
) -> bool {
    let Some(scheduler) = sched::if_current() else {
        while waiting() {
            match deadline.map(|at| at.saturating_duration_since(Clock::new().now())) {
                None => std::thread::park(),
                Some(Duration::ZERO) => return false,
                Some(left) => std::thread::park_timeout(left),
            }
        }
        return true;
    };
    let _counted = CountGuard::new(&scheduler.cross_thread_waiters);
    while waiting() {
        match interrupt::wait(scheduler, reason, deadline) {
            Wake::Unparked => {}
            // What was waited for may have come at the same time, and wins.
            _ => return !waiting(),
        }
    }
    true
}

/// The moment `timeout` from now, by the clock that [`park_while`] will wait by.
pub(crate) fn deadline_after_any_thread(timeout: Duration) -> Option<Instant> {
    match sched::if_current() {
        Some(scheduler) => scheduler.clock.deadline_after(timeout),
        None => Clock::new().deadline_after(timeout),
    }
}

/// Before an operation that need not park because somebody elsewhere is fast: once in a while it is
/// the turn of the others of this OS thread. A kill is thrown here too, before anything is done.
#[inline]
pub(crate) fn yield_if_over_budget() {
    if let Some(scheduler) = sched::if_current()
        && scheduler.consume_budget()
    {
        interrupt::yield_scheduler(scheduler);
    }
}
