//! What the ends of a channel share.
//!
//! | who comes | finds | does |
//! | --- | --- | --- |
//! | send | no receiver any more | fails |
//! | send | room, or a receiver that waits | stores the message, tells the receiver |
//! | send | neither | parks with the message in its slot |
//! | receive | a message | takes it; then the first sender's message moves up, and the sender is told |
//! | receive | no message, a sender | takes the sender's message, tells the sender |
//! | receive | no message, no sender left | fails |
//! | receive | no message | parks |
//!
//! A message in the buffer belongs to nobody: a receiver that was told and unwinds loses nothing, and
//! tells the next one: green threads of one OS thread may share a receiver. A sender that was told
//! has sent if its slot is empty, and has been left by the receiver if not.

use std::collections::VecDeque;
use std::mem;
use std::sync::mpsc::{RecvTimeoutError, SendError, TryRecvError, TrySendError};
use std::time::Instant;

use crate::green::WaitReason;
use crate::primitive::{Cell, Mutex, lock};
use crate::sync::wait_list::{PendingUnpark, Position, WaitEntry, WaitList, WaitParams};

/// What the ends of a channel share.
#[derive(Debug)]
pub struct Channel<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    buffer: VecDeque<T>,
    /// `None`: as many as there is memory for.
    capacity: Option<usize>,
    senders: usize,
    has_receiver: bool,
    receiving: WaitList,
    sending: WaitList<T>,
}

impl<T> State<T> {
    fn is_buffer_full(&self) -> bool {
        self.capacity.is_some_and(|most| self.buffer.len() >= most)
    }

    /// A message in, if there is a place for it.
    fn push(&mut self, message: T) -> Result<Option<PendingUnpark>, T> {
        // Under the lock, so that it finds the message.
        let pending = self.notify_receiver();
        if self.is_buffer_full() && pending.is_none() {
            return Err(message);
        }
        self.buffer.push_back(message);
        Ok(pending)
    }

    /// A message out, and perhaps a sender that was waiting to be told of it.
    fn pop(&mut self) -> Option<(T, Option<PendingUnpark>)> {
        let Some(message) = self.buffer.pop_front() else {
            let (pending, message) = self.sending.notify_front(Cell::take)?;
            return Some((message.expect("a sender brings a message"), Some(pending)));
        };
        let next = if self.is_buffer_full() {
            None
        } else {
            self.sending.notify_front(Cell::take)
        };
        let pending = next.map(|(pending, message)| {
            self.buffer.extend(message);
            pending
        });
        Some((message, pending))
    }

    fn notify_receiver(&self) -> Option<PendingUnpark> {
        self.receiving
            .notify_front(|_| ())
            .map(|(pending, ())| pending)
    }
}

impl<T> Channel<T> {
    /// With one sender and the receiver.
    pub(crate) fn new(capacity: Option<usize>) -> Self {
        Self {
            state: Mutex::new(State {
                buffer: VecDeque::new(),
                capacity,
                senders: 1,
                has_receiver: true,
                receiving: WaitList::new(),
                sending: WaitList::new(),
            }),
        }
    }

    pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = lock(&self.state);
        if !state.has_receiver {
            return Err(TrySendError::Disconnected(message));
        }
        let pending = state.push(message).map_err(TrySendError::Full)?;
        drop(state);
        unpark(pending);
        Ok(())
    }

    /// Parks while there is no room.
    pub(crate) fn send(&self, mut message: T) -> Result<(), SendError<T>> {
        loop {
            let mut state = lock(&self.state);
            if !state.has_receiver {
                return Err(SendError(message));
            }
            match state.push(message) {
                Ok(pending) => {
                    drop(state);
                    unpark(pending);
                    return Ok(());
                }
                Err(back) => message = back,
            }
            let wait = WaitParams {
                state: &self.state,
                queue: |state: &State<T>| &state.sending,
                position: Position::Back,
                reason: WaitReason::Send,
                deadline: None,
            };
            match wait.park(state, Some(message), drop) {
                Ok(None) => return Ok(()),
                Ok(Some(left)) => return Err(SendError(left)),
                Err(slot) => message = slot.expect("nobody has taken it"),
            }
        }
    }

    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = lock(&self.state);
        let popped = state.pop();
        let senders = state.senders;
        drop(state);
        match popped {
            Some((message, pending)) => {
                unpark(pending);
                Ok(message)
            }
            None if senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Parks while there is no message.
    pub(crate) fn recv(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        loop {
            let mut state = lock(&self.state);
            if let Some((message, pending)) = state.pop() {
                drop(state);
                unpark(pending);
                return Ok(message);
            }
            if state.senders == 0 {
                return Err(RecvTimeoutError::Disconnected);
            }
            let wait = WaitParams {
                state: &self.state,
                queue: |state: &State<T>| &state.receiving,
                position: Position::Back,
                reason: WaitReason::Receive,
                deadline,
            };
            let renotify = |_| self.renotify();
            if wait.park(state, None, renotify).is_err() && deadline.is_some() {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }

    /// By a receiver that was told and does not look: another one is to.
    pub(crate) fn renotify(&self) {
        let state = lock(&self.state);
        let pending = match state.buffer.is_empty() {
            true => None,
            false => state.notify_receiver(),
        };
        drop(state);
        unpark(pending);
    }

    /// Queues up for a message. `false`: there is something to be had at once.
    ///
    /// # Safety
    ///
    /// As for [`WaitEntry::enter`].
    pub(crate) unsafe fn register_receiver(&self, place: &WaitEntry<()>) -> bool {
        let state = lock(&self.state);
        let nobody_sends = || state.sending.is_empty_except(place.token());
        let nothing_yet = state.buffer.is_empty() && state.senders > 0 && nobody_sends();
        if nothing_yet {
            // SAFETY: the lock is held; the rest is the caller's.
            unsafe { place.enter(&state.receiving, Position::Back) };
        }
        nothing_yet
    }

    /// # Safety
    ///
    /// The place is in no other queue.
    pub(crate) unsafe fn unregister_receiver(&self, place: &WaitEntry<()>) {
        let state = lock(&self.state);
        // SAFETY: the lock is held; the rest is the caller's.
        unsafe { place.leave(&state.receiving) };
    }

    /// Queues up for room, with the message in the slot. `false`: there is some, or no receiver.
    ///
    /// # Safety
    ///
    /// As for [`WaitEntry::enter`].
    pub(crate) unsafe fn register_sender(&self, place: &WaitEntry<T>) -> bool {
        let state = lock(&self.state);
        let nobody_receives = || state.receiving.is_empty_except(place.token());
        let must_wait = state.has_receiver && state.is_buffer_full() && nobody_receives();
        if must_wait {
            // SAFETY: the lock is held; the rest is the caller's.
            unsafe { place.enter(&state.sending, Position::Back) };
        }
        must_wait
    }

    /// # Safety
    ///
    /// The place is in no other queue.
    pub(crate) unsafe fn unregister_sender(&self, place: &WaitEntry<T>) {
        let state = lock(&self.state);
        // SAFETY: the lock is held; the rest is the caller's.
        unsafe { place.leave(&state.sending) };
    }

    pub(crate) fn add_sender(&self) {
        lock(&self.state).senders += 1;
    }

    pub(crate) fn remove_sender(&self) {
        let mut state = lock(&self.state);
        state.senders -= 1;
        let pending = match state.senders {
            0 => state.receiving.notify_all(),
            _ => Vec::new(),
        };
        drop(state);
        pending.into_iter().for_each(PendingUnpark::unpark);
    }

    pub(crate) fn remove_receiver(&self) {
        let mut state = lock(&self.state);
        state.has_receiver = false;
        let all = state.sending.notify_all();
        // Dropped when the lock is free: a destructor is the program's code.
        let unread = mem::take(&mut state.buffer);
        drop(state);
        all.into_iter().for_each(PendingUnpark::unpark);
        drop(unread);
    }
}

fn unpark(pending: Option<PendingUnpark>) {
    if let Some(pending) = pending {
        pending.unpark();
    }
}
