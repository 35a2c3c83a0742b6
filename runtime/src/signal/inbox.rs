//! `Inbox`: the signals that one `Signals` has not received yet, and its waiting receivers.
//!
//! A signal belongs to no receiver before it is taken. So a notified receiver that unwinds loses
//! nothing: it notifies the next one instead.

use std::collections::VecDeque;
use std::time::Instant;

use super::delivery;
use crate::fork;
use crate::green::WaitReason;
use crate::primitive::{Mutex, lock};
use crate::sched;
use crate::sync::wait_list::{
    IfAbandoned, PendingUnpark, Position, WaitEntry, WaitList, WaitParams,
};
use crate::thread::CountGuard;

/// The state of a `Signals`.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How often each signal has arrived. A signal joins the end, and does so again after it was
    /// taken once, so that a storm of one signal does not hide another.
    pending: VecDeque<(i32, usize)>,
    waiting: WaitList,
}

impl State {
    fn take(&mut self) -> Option<i32> {
        let (signal, count) = self.pending.pop_front()?;
        if count > 1 {
            self.pending.push_back((signal, count - 1));
        }
        Some(signal)
    }

    fn notify_one(&self) -> Option<PendingUnpark> {
        self.waiting
            .notify_front(|_| ())
            .map(|(pending, ())| pending)
    }
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                pending: VecDeque::new(),
                waiting: WaitList::new(),
            }),
        }
    }

    /// Adds a signal that has arrived `count` times. The receivers that are notified are added to
    /// `notified`, to be unparked.
    pub(super) fn add(&self, signal: i32, count: usize, notified: &mut Vec<PendingUnpark>) {
        let mut state = lock(&self.state);
        match state.pending.iter_mut().find(|(same, _)| *same == signal) {
            Some((_, before)) => *before = before.saturating_add(count),
            None => state.pending.push_back((signal, count)),
        }
        notified.extend((0..count).map_while(|_| state.notify_one()));
    }

    /// Whether a receive would park.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.state).pending.is_empty()
    }

    pub(crate) fn try_recv(&self) -> Option<i32> {
        if fork::is_child() {
            return None;
        }
        delivery::distribute();
        lock(&self.state).take()
    }

    /// Receives a signal. Parks until there is one. Returns `None` if the deadline passed first.
    pub(super) fn recv(&self, deadline: Option<Instant>) -> Option<i32> {
        loop {
            // No signal would ever be delivered in a child.
            assert!(!fork::is_child(), "{}", fork::Forked);
            delivery::distribute();
            let mut state = lock(&self.state);
            if let Some(signal) = state.take() {
                return Some(signal);
            }
            // A signal comes even if there is no other OS thread.
            let scheduler = sched::try_current().ok();
            let _counted =
                scheduler.map(|scheduler| CountGuard::new(&scheduler.unforeseen_waiters));
            let wait = WaitParams {
                state: &self.state,
                queue: |state: &State| &state.waiting,
                position: Position::Back,
                reason: WaitReason::Other("a signal"),
                deadline,
                if_abandoned: IfAbandoned::Leaves,
            };
            let renotify = |_| self.renotify();
            if wait.park(state, None, renotify).is_err() && deadline.is_some() {
                return None;
            }
        }
    }

    /// Notifies the next receiver, if there is a signal. Called for a receiver that was notified and
    /// does not take a signal.
    pub(crate) fn renotify(&self) {
        let state = lock(&self.state);
        let notified = match state.pending.is_empty() {
            true => None,
            false => state.notify_one(),
        };
        drop(state);
        if let Some(notified) = notified {
            notified.unpark();
        }
    }

    /// Adds the entry to the waiting receivers. Returns `false` without adding it if there is a
    /// signal.
    ///
    /// # Safety
    ///
    /// The same conditions hold as for [`WaitEntry::enter`], except for the lock, which is taken
    /// here.
    pub(crate) unsafe fn register(&self, entry: &WaitEntry<()>) -> bool {
        let state = lock(&self.state);
        let must_wait = state.pending.is_empty();
        if must_wait {
            // SAFETY: the lock is held. The caller keeps the other conditions.
            unsafe { entry.enter(&state.waiting, Position::Back) };
        }
        must_wait
    }

    /// Removes the entry from the waiting receivers, if it is there.
    ///
    /// # Safety
    ///
    /// The entry is in no other queue.
    pub(crate) unsafe fn unregister(&self, entry: &WaitEntry<()>) {
        let state = lock(&self.state);
        // SAFETY: the lock is held. The caller keeps the other condition.
        unsafe { entry.leave(&state.waiting) };
    }
}
