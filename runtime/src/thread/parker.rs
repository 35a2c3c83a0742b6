//! `Parker`: waiting for something that OS threads share. The waiter is a green thread of any OS
//! thread, or an OS thread that has never used evy, and which blocks as usual.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::count_guard::CountGuard;
use super::interrupt;
use super::unwinding::os_thread_panicking;
use crate::clock::Clock;
use crate::fork;
use crate::green::{RemoteHandle, WaitReason, Wake};
use crate::sched::{self, os_threads};

/// Wakes one waiter from any OS thread, so that it checks its condition again.
#[derive(Debug)]
pub(crate) struct Parker(ParkerKind);

#[derive(Debug)]
enum ParkerKind {
    Green(Arc<RemoteHandle>),
    Os(std::thread::Thread),
}

impl Parker {
    /// Returns the parker of the caller.
    pub(crate) fn current() -> Self {
        Self(match sched::if_current() {
            Some(scheduler) => ParkerKind::Green(scheduler.remote_handle(scheduler.running())),
            None => ParkerKind::Os(std::thread::current()),
        })
    }

    /// Whether the waiter is a green thread whose OS thread has ended.
    pub(crate) fn is_abandoned(&self) -> bool {
        match &self.0 {
            ParkerKind::Green(handle) => handle.scheduler.mailbox.is_closed(),
            ParkerKind::Os(_) => false,
        }
    }

    /// Wakes the waiter, so that it checks its condition again. Does nothing if the waiter has
    /// ended.
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

    /// Wakes the waiter like [`unpark`](Self::unpark), but by a message also on its own OS thread. The
    /// scheduler of the calling OS thread is not touched.
    pub(crate) fn unpark_remotely(&self) {
        match &self.0 {
            ParkerKind::Green(handle) => handle.send(),
            ParkerKind::Os(thread) => thread.unpark(),
        }
    }
}

/// Parks while `waiting` returns `true`. Returns `false` if the deadline passed first.
///
/// Each change of the result of `waiting` is followed by an unpark of the caller's [`Parker`]. A
/// green thread may unwind from here.
pub(crate) fn park_while(
    reason: WaitReason,
    deadline: Option<Instant>,
    waiting: impl Fn() -> bool,
) -> bool {
    let Some(scheduler) = sched::if_current() else {
        return block_while(reason, deadline, waiting);
    };
    let _counted = CountGuard::new(&scheduler.shared_waiters);
    while waiting() {
        match interrupt::wait(scheduler, reason, deadline) {
            Wake::Unparked => {}
            // What it waits for may have happened at the same time, and wins over the deadline.
            _ => return !waiting(),
        }
    }
    true
}

/// Blocks an OS thread that has never used evy while `waiting` returns `true`. Returns `false` if the
/// deadline passed first.
///
/// # Panics
///
/// Panics if no other OS thread exists that could end a wait without a deadline, and in a child that
/// was created with `fork`.
#[expect(
    clippy::disallowed_methods,
    reason = "an OS thread without green threads may block"
)]
fn block_while(reason: WaitReason, deadline: Option<Instant>, waiting: impl Fn() -> bool) -> bool {
    let time_left = |until: Instant| until.saturating_duration_since(Clock::new().now());
    let mut check = match deadline {
        None => Clock::new().deadline_after(os_threads::CHECK_AFTER),
        Some(_) => None,
    };
    while waiting() {
        // No other OS thread of a child could ever end the wait.
        assert!(!fork::is_child(), "{}", fork::Forked);
        match deadline.or(check).map(time_left) {
            None => std::thread::park(),
            Some(Duration::ZERO) if deadline.is_some() => return false,
            Some(Duration::ZERO) => {
                check = None;
                // The order matters: an OS thread may have ended the wait just before it ended.
                let is_deadlock = !os_threads::may_have_others() && waiting();
                assert!(
                    !is_deadlock || os_thread_panicking(),
                    "deadlock: this OS thread waits for {reason}, and there is no other one"
                );
            }
            Some(left) => std::thread::park_timeout(left),
        }
    }
    true
}

/// Returns the deadline `timeout` from now, on the clock that [`park_while`] uses.
pub(crate) fn deadline_after_any_thread(timeout: Duration) -> Option<Instant> {
    now_any_thread().checked_add(timeout)
}

/// Returns the current time on the clock of this OS thread, if it has one.
pub(crate) fn now_any_thread() -> Instant {
    match sched::if_current() {
        Some(scheduler) => scheduler.clock.now(),
        None => Clock::new().now(),
    }
}
