//! Arms for the channels of [`sync::mpsc`](crate::sync::mpsc).

use std::fmt;
use std::sync::mpsc::{RecvError, SendError, TryRecvError, TrySendError};

use super::any::{AnyReceiver, AnySender};
use super::arms::{Arm, SelectHandle};
use crate::sync::mpsc::{Channel, Receiver, Sender, SyncSender};
use crate::sync::wait_list::WaitEntry;
use crate::thread::SelectToken;

impl<T> AnyReceiver for Receiver<T> {
    type Recv<'a>
        = Recv<'a, T>
    where
        T: 'a;

    fn recv_arm(&self) -> Recv<'_, T> {
        Recv {
            channel: self.channel(),
            entry: WaitEntry::new(None),
        }
    }
}

impl<T> AnySender for Sender<T> {
    type Message = T;
    type Send<'a>
        = Send<'a, T>
    where
        T: 'a;

    fn send_arm(&self, message: T) -> Send<'_, T> {
        Send::new(self.channel(), message)
    }
}

impl<T> AnySender for SyncSender<T> {
    type Message = T;
    type Send<'a>
        = Send<'a, T>
    where
        T: 'a;

    fn send_arm(&self, message: T) -> Send<'_, T> {
        Send::new(self.channel(), message)
    }
}

/// The arm returned by [`recv`](super::recv) for a channel.
pub struct Recv<'a, T> {
    channel: &'a Channel<T>,
    entry: WaitEntry<()>,
}

impl<T> SelectHandle for Recv<'_, T> {
    fn is_shared(&self) -> bool {
        true
    }

    unsafe fn register(&self, token: SelectToken) -> bool {
        self.entry.prepare(token);
        // SAFETY: the arm and the selection do not move until the arm has been unregistered
        // (caller).
        unsafe { self.channel.register_receiver(&self.entry) }
    }

    fn unregister(&self) {
        // SAFETY: the entry is in this queue, or in none.
        unsafe { self.channel.unregister_receiver(&self.entry) };
    }

    fn release(&self) {
        self.channel.renotify();
    }
}

impl<T> Arm for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn try_select(&self) -> Option<Self::Output> {
        match self.channel.try_recv() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        }
    }
}

/// The arm returned by [`send`](super::send) for a channel.
pub struct Send<'a, T> {
    channel: &'a Channel<T>,
    /// Contains the message until a receiver takes it.
    entry: WaitEntry<T>,
}

impl<'a, T> Send<'a, T> {
    fn new(channel: &'a Channel<T>, message: T) -> Self {
        Self {
            channel,
            entry: WaitEntry::new(Some(message)),
        }
    }
}

impl<T> SelectHandle for Send<'_, T> {
    fn is_shared(&self) -> bool {
        true
    }

    unsafe fn register(&self, token: SelectToken) -> bool {
        self.entry.prepare(token);
        // SAFETY: the arm and the selection do not move until the arm has been unregistered
        // (caller).
        unsafe { self.channel.register_sender(&self.entry) }
    }

    fn unregister(&self) {
        // SAFETY: the entry is in this queue, or in none.
        unsafe { self.channel.unregister_sender(&self.entry) };
    }
}

impl<T> Arm for Send<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn try_select(&self) -> Option<Self::Output> {
        match self.channel.try_send(self.entry.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Disconnected(message)) => Some(Err(SendError(message))),
            Err(TrySendError::Full(message)) => {
                self.entry.set_slot(Some(message));
                None
            }
        }
    }

    fn accept(&self) -> Option<Self::Output> {
        // If the message has not been taken, the receiver has been dropped.
        Some(match self.entry.take() {
            None => Ok(()),
            Some(message) => Err(SendError(message)),
        })
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Send<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send").finish_non_exhaustive()
    }
}
