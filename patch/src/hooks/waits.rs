//! Waits in the table of waiters ([`wait_table`](super::wait_table)).

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, WaitEnd};

use super::system::{errno, set_errno};
use super::thread::Thread;
use super::wait_table::{Key, Waiter};

/// How a wait in the table has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `is_due` returned `false`, so there was no wait.
    NotBegun,
    Woken,
    TimedOut,
    Deadlocked,
}

/// How long a wait lasts at most for an object that other processes share. Their wakes are not seen
/// here, so such a wait ends as if it had been woken, for nothing.
pub(super) const SHARED_WAIT: Duration = Duration::from_millis(20);

/// Waits until a [`wake`](super::wait_table::wake) for `key`, or until `deadline`. Leaves `errno` as it was.
///
/// A wait for what other processes share, `is_shared`, may end as if it had been woken, for nothing.
/// `is_due` says whether the wait is still due. It is called under the lock of the queue. `queued` is
/// called once the waiter is in the queue, without the lock.
#[expect(
    clippy::too_many_arguments,
    reason = "each says something else of the wait"
)]
pub(super) fn wait(
    thread: Thread,
    key: Key,
    bits: u32,
    reason: WaitReason,
    deadline: Option<Instant>,
    is_shared: bool,
    is_due: impl FnOnce() -> bool,
    queued: impl FnOnce(),
) -> Outcome {
    let errno = errno();
    let limit = match is_shared {
        true => thread.deadline_after(SHARED_WAIT),
        false => None,
    };
    let first = match (deadline, limit) {
        (Some(deadline), Some(limit)) => Some(deadline.min(limit)),
        (deadline, limit) => deadline.or(limit),
    };
    let outcome = wait_for(thread, key, bits, reason, first, is_due, queued);
    set_errno(errno);
    match outcome {
        Outcome::TimedOut if first != deadline => Outcome::Woken,
        outcome => outcome,
    }
}

fn wait_for(
    thread: Thread,
    key: Key,
    bits: u32,
    reason: WaitReason,
    deadline: Option<Instant>,
    is_due: impl FnOnce() -> bool,
    queued: impl FnOnce(),
) -> Outcome {
    let parked = while_queued(thread, key, bits, is_due, |is_woken| {
        queued();
        until_woken(thread, &[is_woken], reason, deadline)
    });
    match parked {
        None => Outcome::NotBegun,
        Some((_, true)) => Outcome::Woken,
        Some((outcome, false)) => outcome,
    }
}

/// Waits until one of the flags is set. An OS thread waits for the first only.
fn until_woken(
    thread: Thread,
    flags: &[&AtomicU32],
    reason: WaitReason,
    deadline: Option<Instant>,
) -> Outcome {
    while flags.iter().all(|is_woken| is_woken.load(Acquire) == 0) {
        match thread.wait(flags[0], reason, deadline) {
            WaitEnd::TimedOut => return Outcome::TimedOut,
            WaitEnd::Deadlocked => return Outcome::Deadlocked,
            _ => {}
        }
    }
    Outcome::Woken
}

/// Runs `wait` while the thread is queued, and says whether a [`wake`](super::wait_table::wake) for `key` has come. Returns
/// `None` at once if `is_due` returns `false`. `wait` gets the flag that the wake sets, and does not
/// unwind.
pub(super) fn while_queued<R>(
    thread: Thread,
    key: Key,
    bits: u32,
    is_due: impl FnOnce() -> bool,
    wait: impl FnOnce(&AtomicU32) -> R,
) -> Option<(R, bool)> {
    let waiter = Waiter::new(key, bits);
    // SAFETY: it is dequeued below, before this function returns.
    let is_queued = unsafe { waiter.enqueue(thread, is_due) };
    is_queued.then(|| {
        let result = wait(&waiter.is_woken);
        (result, waiter.dequeue())
    })
}

/// How a wait for several keys has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnyOutcome {
    /// The wait for this number of the list was not due, so there was no wait.
    NotBegun,
    /// A wake has come for this number of the list.
    Woken(usize),
    TimedOut,
    Deadlocked,
}

/// Parks until a [`wake`](super::wait_table::wake) for one of several keys, like [`wait`]. `is_due` gets the number of a key.
pub(super) fn wait_for_any(
    caller: Caller,
    keys: impl Iterator<Item = Key>,
    reason: WaitReason,
    deadline: Option<Instant>,
    is_due: impl Fn(usize) -> bool,
) -> AnyOutcome {
    let errno = errno();
    let waiters: Vec<_> = keys.map(|key| Waiter::new(key, u32::MAX)).collect();
    let queue = |(number, waiter): (usize, &Waiter)| {
        // SAFETY: those that are queued are dequeued below.
        unsafe { waiter.enqueue(caller.into(), || is_due(number)) }
    };
    let queued = waiters.iter().enumerate().take_while(|pair| queue(*pair));
    let queued = &waiters[..queued.count()];
    let outcome = match queued.len() == waiters.len() {
        true => {
            let flags: Vec<_> = queued.iter().map(|waiter| &waiter.is_woken).collect();
            until_woken(caller.into(), &flags, reason, deadline)
        }
        false => Outcome::NotBegun,
    };
    // All are dequeued. As in the kernel, the last of those that a wake has come for counts.
    let woken = (0..queued.len()).fold(None, |woken, number| {
        queued[number].dequeue().then_some(number).or(woken)
    });
    set_errno(errno);
    match (woken, outcome) {
        (Some(number), _) => AnyOutcome::Woken(number),
        (None, Outcome::TimedOut) => AnyOutcome::TimedOut,
        (None, Outcome::Deadlocked) => AnyOutcome::Deadlocked,
        (None, _) => AnyOutcome::NotBegun,
    }
}
