//! The `recv` and `send` arms, for all that has methods of these names: channels and queues.

use std::ops::Deref;

use super::arms::Arm;

/// Returns an arm that is ready when the channel or the queue has something to receive, or will
/// never have. Its output is what the method `recv` returns.
pub fn recv<R: AnyReceiver>(receiver: &R) -> R::Recv<'_> {
    receiver.recv_arm()
}

/// Returns an arm that is ready when the channel or the queue has room for `message`, or will never
/// have. Its output is what the method `send` returns.
pub fn send<S: AnySender>(sender: &S, message: S::Message) -> S::Send<'_> {
    sender.send_arm(message)
}

/// What the `recv` arm of [`select!`](crate::select!) can wait for: a
/// [`Receiver`](crate::sync::mpsc::Receiver), a queue, or a smart pointer to one.
pub trait AnyReceiver {
    /// The type of the arm.
    type Recv<'a>: Arm
    where
        Self: 'a;

    #[doc(hidden)]
    fn recv_arm(&self) -> Self::Recv<'_>;
}

impl<P: Deref<Target: AnyReceiver>> AnyReceiver for P {
    type Recv<'a>
        = <P::Target as AnyReceiver>::Recv<'a>
    where
        P: 'a;

    fn recv_arm(&self) -> Self::Recv<'_> {
        (**self).recv_arm()
    }
}

/// What the `send` arm of [`select!`](crate::select!) can wait for: a
/// [`Sender`](crate::sync::mpsc::Sender), a [`SyncSender`](crate::sync::mpsc::SyncSender) or a
/// queue.
pub trait AnySender {
    /// The type of the messages.
    type Message;
    /// The type of the arm.
    type Send<'a>: Arm
    where
        Self: 'a;

    #[doc(hidden)]
    fn send_arm(&self, message: Self::Message) -> Self::Send<'_>;
}
