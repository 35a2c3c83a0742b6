//! `Channel`: the state that the senders and the receiver of a channel share.
//!
//! | operation | state of the channel | effect |
//! | --- | --- | --- |
//! | send | the receiver has been dropped | Returns an error. |
//! | send | there is room in the buffer, or a receive waits | Stores the message in the buffer, and notifies the longest waiting receive, if any. |
//! | send | the buffer is full and no receive waits | Parks, with the message in the slot of its entry. |
//! | receive | there is a message in the buffer | Takes it. If there is room then and a send waits, the message of the longest waiting send moves into the buffer, and that send is notified. |
//! | receive | the buffer is empty and a send waits | Takes the message of the longest waiting send, and notifies that send. |
//! | receive | the buffer is empty and all senders have been dropped | Returns an error. |
//! | receive | the buffer is empty and no send waits | Parks. |
//!
//! Several receives can wait at once, because the green threads of one OS thread may share a
//! receiver by reference. A notified receive does not own a message: the messages stay in the
//! buffer until they are taken. So a notified receive that unwinds loses nothing. It notifies the
//! next waiting receive instead.
//!
//! The slot of a notified send shows what has happened. If it is empty, the message has been
//! received or moved into the buffer. If it still contains the message, the receiver has been
//! dropped.

use std::collections::VecDeque;
use std::mem;
use std::sync::mpsc::{RecvTimeoutError, SendError, TryRecvError, TrySendError};
use std::time::Instant;

use crate::green::WaitReason;
use crate::primitive::{Cell, Mutex, lock};
use crate::sync::wait_list::{
    IfAbandoned, PendingUnpark, Position, WaitEntry, WaitList, WaitParams,
};

/// The state that the senders and the receiver of a channel share.
#[derive(Debug)]
pub struct Channel<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    buffer: VecDeque<T>,
    /// `None` if the channel is unbounded: it stores as many messages as fit in memory.
    capacity: Option<usize>,
    senders: usize,
    has_receiver: bool,
    receiving: WaitList,
    sending: WaitList<T>,
}

impl<T> State<T> {
    fn is_buffer_full(&self) -> bool {
        self.capacity
            .is_some_and(|capacity| self.buffer.len() >= capacity)
    }

    /// Stores `message` if there is room or a receive waits, and otherwise returns it. Also returns
    /// the receive that has been notified, if any, to be unparked.
    fn push(&mut self, message: T) -> Result<Option<PendingUnpark>, T> {
        // The receive is notified before the message is stored. It finds the message nevertheless,
        // because both happen under the lock.
        let pending = self.notify_receiver();
        if self.is_buffer_full() && pending.is_none() {
            return Err(message);
        }
        self.buffer.push_back(message);
        Ok(pending)
    }

    /// Takes the next message. Also returns the send that has been notified, if any, to be
    /// unparked.
    fn pop(&mut self) -> Option<(T, Option<PendingUnpark>)> {
        let Some(message) = self.buffer.pop_front() else {
            let (pending, message) = self.sending.notify_front(Cell::take)?;
            return Some((
                message.expect("a waiting send has a message in its slot"),
                Some(pending),
            ));
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
    /// Creates a channel with one sender and the receiver.
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

    /// Whether a receive would park.
    pub(crate) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.buffer.is_empty() && state.senders > 0 && state.sending.is_empty()
    }

    /// Whether a send would park.
    pub(crate) fn is_full(&self) -> bool {
        let state = lock(&self.state);
        state.has_receiver && state.is_buffer_full() && state.receiving.is_empty()
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

    /// Sends a message. Parks until there is room, or a receive takes the message.
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
                // The message can still be received. Nothing else would show the receiver that it
                // has waited in vain, because the sender is never dropped.
                if_abandoned: IfAbandoned::Stays,
            };
            match wait.park(state, Some(message), drop) {
                Ok(None) => return Ok(()),
                Ok(Some(left)) => return Err(SendError(left)),
                Err(slot) => message = slot.expect("the message has not been taken"),
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

    /// Receives a message. Parks until there is one.
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
                if_abandoned: IfAbandoned::Leaves,
            };
            let renotify = |_| self.renotify();
            if wait.park(state, None, renotify).is_err() && deadline.is_some() {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }

    /// Notifies the next waiting receive, if there is a message. Called for a receive that was
    /// notified and does not take a message.
    pub(crate) fn renotify(&self) {
        let state = lock(&self.state);
        let pending = match state.buffer.is_empty() {
            true => None,
            false => state.notify_receiver(),
        };
        drop(state);
        unpark(pending);
    }

    /// Adds the entry to the waiting receives. Returns `false` without adding it if a receive would
    /// not have to wait.
    ///
    /// # Safety
    ///
    /// The same conditions hold as for [`WaitEntry::enter`], except for the lock, which is taken
    /// here.
    pub(crate) unsafe fn register_receiver(&self, entry: &WaitEntry<()>) -> bool {
        let state = lock(&self.state);
        let no_send_waits = || state.sending.is_empty_except(entry.token());
        let must_wait = state.buffer.is_empty() && state.senders > 0 && no_send_waits();
        if must_wait {
            // SAFETY: the lock is held. The caller keeps the other conditions.
            unsafe { entry.enter(&state.receiving, Position::Back) };
        }
        must_wait
    }

    /// Removes the entry from the waiting receives, if it is there.
    ///
    /// # Safety
    ///
    /// The entry is in no other queue.
    pub(crate) unsafe fn unregister_receiver(&self, entry: &WaitEntry<()>) {
        let state = lock(&self.state);
        // SAFETY: the lock is held. The caller keeps the other condition.
        unsafe { entry.leave(&state.receiving) };
    }

    /// Adds the entry, with the message in its slot, to the waiting sends. Returns `false` without
    /// adding it if a send would not have to wait: there is room, a receive waits, or the receiver
    /// has been dropped.
    ///
    /// # Safety
    ///
    /// The same conditions hold as for [`WaitEntry::enter`], except for the lock, which is taken
    /// here.
    pub(crate) unsafe fn register_sender(&self, entry: &WaitEntry<T>) -> bool {
        let state = lock(&self.state);
        let no_receive_waits = || state.receiving.is_empty_except(entry.token());
        let must_wait = state.has_receiver && state.is_buffer_full() && no_receive_waits();
        if must_wait {
            // SAFETY: the lock is held. The caller keeps the other conditions.
            unsafe { entry.enter(&state.sending, Position::Back) };
        }
        must_wait
    }

    /// Removes the entry from the waiting sends, if it is there.
    ///
    /// # Safety
    ///
    /// The entry is in no other queue.
    pub(crate) unsafe fn unregister_sender(&self, entry: &WaitEntry<T>) {
        let state = lock(&self.state);
        // SAFETY: the lock is held. The caller keeps the other condition.
        unsafe { entry.leave(&state.sending) };
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
        // Dropped after the lock has been released, because destructors are code of the program.
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
