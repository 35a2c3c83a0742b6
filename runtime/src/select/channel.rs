//! Arms for the channels of [`sync::mpsc`](crate::sync::mpsc).

use std::fmt;
use std::sync::mpsc::{RecvError, SendError, TryRecvError, TrySendError};

use super::arms::{Arm, Waits};
use crate::sync::mpsc::{Channel, Receiver, Sender, SyncSender};
use crate::sync::waiters::Place;
use crate::thread::Ticket;

/// Ready when there is a message, or when there will be none any more. As [`Receiver::recv`].
pub fn recv<T>(receiver: &Receiver<T>) -> Recv<'_, T> {
    Recv {
        channel: receiver.channel(),
        place: Place::new(None),
    }
}

/// Ready when there is room for `message`, or when the receiver is gone. As the sender's `send`.
pub fn send<S: AnySender>(sender: &S, message: S::Message) -> Send<'_, S::Message> {
    Send {
        channel: sender.ends(),
        place: Place::new(Some(message)),
    }
}

/// Either kind of sender.
pub trait AnySender {
    /// What it sends.
    type Message;

    #[doc(hidden)]
    fn ends(&self) -> &Channel<Self::Message>;
}

impl<T> AnySender for Sender<T> {
    type Message = T;

    fn ends(&self) -> &Channel<T> {
        self.channel()
    }
}

impl<T> AnySender for SyncSender<T> {
    type Message = T;

    fn ends(&self) -> &Channel<T> {
        self.channel()
    }
}

/// See [`recv`].
pub struct Recv<'a, T> {
    channel: &'a Channel<T>,
    place: Place<()>,
}

impl<T> Waits for Recv<'_, T> {
    fn is_shared(&self) -> bool {
        true
    }

    unsafe fn enter(&self, ticket: Ticket) -> bool {
        self.place.prepare(ticket);
        // SAFETY: the arm stays where it is until it has left, and the choice as long (caller).
        unsafe { self.channel.enter_receiving(&self.place) }
    }

    fn leave(&self) {
        // SAFETY: entered there, if anywhere.
        unsafe { self.channel.leave_receiving(&self.place) };
    }

    fn undo(&self) {
        self.channel.pass_on();
    }
}

impl<T> Arm for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn attempt(&self) -> Option<Self::Output> {
        match self.channel.try_recv() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        }
    }
}

/// See [`send`].
pub struct Send<'a, T> {
    channel: &'a Channel<T>,
    /// With the message, until somebody takes it.
    place: Place<T>,
}

impl<T> Waits for Send<'_, T> {
    fn is_shared(&self) -> bool {
        true
    }

    unsafe fn enter(&self, ticket: Ticket) -> bool {
        self.place.prepare(ticket);
        // SAFETY: the arm stays where it is until it has left, and the choice as long (caller).
        unsafe { self.channel.enter_sending(&self.place) }
    }

    fn leave(&self) {
        // SAFETY: entered there, if anywhere.
        unsafe { self.channel.leave_sending(&self.place) };
    }
}

impl<T> Arm for Send<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn attempt(&self) -> Option<Self::Output> {
        match self.channel.try_send(self.place.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Disconnected(message)) => Some(Err(SendError(message))),
            Err(TrySendError::Full(message)) => {
                self.place.bring(Some(message));
                None
            }
        }
    }

    fn finish(&self) -> Option<Self::Output> {
        // What was not taken comes back from a receiver that has left.
        Some(match self.place.take() {
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
