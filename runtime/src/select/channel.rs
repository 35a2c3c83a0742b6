//! Arms for the channels of [`sync::mpsc`](crate::sync::mpsc).

use std::fmt;
use std::sync::mpsc::{RecvError, SendError, TryRecvError, TrySendError};

use super::arms::{Arm, SelectHandle};
use crate::sync::mpsc::{Channel, Receiver, Sender, SyncSender};
use crate::sync::wait_list::WaitEntry;
use crate::thread::SelectToken;

/// Returns an arm that is ready when the channel has a message or all its senders have been
/// dropped. Its output is what [`Receiver::recv`] returns.
pub fn recv<T>(receiver: &Receiver<T>) -> Recv<'_, T> {
    Recv {
        channel: receiver.channel(),
        entry: WaitEntry::new(None),
    }
}

/// Returns an arm that is ready when the channel has room for `message` or its receiver has been
/// dropped. Its output is what the sender's `send` returns.
pub fn send<S: AnySender>(sender: &S, message: S::Message) -> Send<'_, S::Message> {
    Send {
        channel: sender.channel(),
        entry: WaitEntry::new(Some(message)),
    }
}

/// A sender that [`select!`](crate::select!) can wait for: a [`Sender`] or a [`SyncSender`].
pub trait AnySender {
    /// The type of the messages.
    type Message;

    #[doc(hidden)]
    fn channel(&self) -> &Channel<Self::Message>;
}

impl<T> AnySender for Sender<T> {
    type Message = T;

    fn channel(&self) -> &Channel<T> {
        self.channel()
    }
}

impl<T> AnySender for SyncSender<T> {
    type Message = T;

    fn channel(&self) -> &Channel<T> {
        self.channel()
    }
}

/// The arm returned by [`recv`].
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

/// The arm returned by [`send`].
pub struct Send<'a, T> {
    channel: &'a Channel<T>,
    /// Contains the message until a receiver takes it.
    entry: WaitEntry<T>,
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
