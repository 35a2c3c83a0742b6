//! Multi-producer, single-consumer channels, like [`std::sync::mpsc`].
//!
//! They work between green threads and OS threads, as described in the docs of [`sync`](super). The
//! errors are std's own types. Only the methods that say so park.

mod channel;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::RefUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

#[doc(hidden)]
pub use channel::Channel;

use crate::thread::{charge, charge_try, deadline_after_any_thread};

/// Creates an unbounded channel.
///
/// # Examples
///
/// ```
/// use evy::sync::mpsc;
///
/// let (sender, receiver) = mpsc::channel();
/// let other = sender.clone();
/// evy::spawn_n(move || other.send("green").unwrap());
/// std::thread::spawn(move || sender.send("OS").unwrap());
/// let mut all: Vec<_> = receiver.iter().collect();
/// all.sort();
/// assert_eq!(all, ["OS", "green"]);
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(None));
    (Sender(Arc::clone(&channel)), Receiver::new(channel))
}

/// Creates a channel that stores at most `bound` messages.
///
/// A bound of zero makes a rendezvous channel: each send is paired with a receive.
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(Some(bound)));
    (SyncSender(Arc::clone(&channel)), Receiver::new(channel))
}

/// The sending half of an unbounded [`channel`], like [`std::sync::mpsc::Sender`].
///
/// # Differences from std
///
/// - [`send`](Self::send) yields once in a while.
pub struct Sender<T>(Arc<Channel<T>>);

impl<T> Sender<T> {
    /// Sends a message.
    ///
    /// Does not wait, but yields once in a while, so that a receiver on this OS thread can keep up.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the message if the receiver has been dropped.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        charge(|| false);
        self.0.send(message)
    }

    pub(crate) fn channel(&self) -> &Channel<T> {
        &self.0
    }
}

/// The sending half of a bounded [`sync_channel`], like [`std::sync::mpsc::SyncSender`].
///
/// # Differences from std
///
/// - Waiting senders are served in FIFO order.
/// - [`send`](Self::send) yields once in a while, even if there is room.
pub struct SyncSender<T>(Arc<Channel<T>>);

impl<T> SyncSender<T> {
    /// Sends a message.
    ///
    /// Parks until there is room, a receiver waits, or the receiver has been dropped. A send that
    /// need not park yields once in a while. Otherwise a fast receiver on another OS thread could
    /// starve the green threads of this one.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the message if the receiver has been dropped.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        charge(|| self.0.is_full());
        self.0.send(message)
    }

    /// Sends a message if there is room or a receiver waits, without parking.
    ///
    /// # Errors
    ///
    /// Returns an error that contains the message: `Full` if there is no room and no receiver
    /// waits, `Disconnected` if the receiver has been dropped.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        charge_try(|| self.0.try_send(message), Result::is_err)
    }

    pub(crate) fn channel(&self) -> &Channel<T> {
        &self.0
    }
}

/// The receiving half of a channel, like [`std::sync::mpsc::Receiver`].
///
/// # Differences from std
///
/// - [`recv`](Self::recv) and [`recv_timeout`](Self::recv_timeout) yield once in a while, even if
///   there is a message.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// Makes the receiver `!Sync`: there is one receiver, and it is on one OS thread at a time.
    not_sync: PhantomData<Cell<()>>,
}

// The phantom cell prevents the automatic implementation, but there is no cell that a panic could
// leave in an inconsistent state.
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    fn new(channel: Arc<Channel<T>>) -> Self {
        Self {
            channel,
            not_sync: PhantomData,
        }
    }

    /// Receives the next message.
    ///
    /// Parks until there is one, or all senders have been dropped. A receive that need not park
    /// yields once in a while. Otherwise a fast sender on another OS thread could starve the green
    /// threads of this one.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no message and all senders have been dropped.
    pub fn recv(&self) -> Result<T, RecvError> {
        charge(|| self.channel.is_empty());
        self.channel.recv(None).map_err(|_| RecvError)
    }

    /// Receives the next message like [`recv`](Self::recv), waiting for at most `timeout`.
    ///
    /// Parks until there is a message, or for `timeout`.
    ///
    /// # Errors
    ///
    /// Returns `Timeout` if there is no message in time, and `Disconnected` if there is no message
    /// and all senders have been dropped.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        charge(|| self.channel.is_empty());
        // A deadline beyond the range of the clock is treated as none.
        self.channel.recv(deadline_after_any_thread(timeout))
    }

    /// Receives the next message if there is one, without parking.
    ///
    /// # Errors
    ///
    /// Returns `Empty` if there is no message, and `Disconnected` if all senders have been dropped
    /// too.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        charge_try(|| self.channel.try_recv(), Result::is_err)
    }

    /// Returns an iterator over all messages, which ends when all senders have been dropped.
    ///
    /// Its `next` parks like [`recv`](Self::recv).
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { rx: self }
    }

    /// Returns an iterator over the pending messages, which never parks.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { rx: self }
    }

    pub(crate) fn channel(&self) -> &Channel<T> {
        &self.channel
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.add_sender();
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        self.0.add_sender();
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.remove_sender();
    }
}

impl<T> Drop for SyncSender<T> {
    fn drop(&mut self) {
        self.0.remove_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.remove_receiver();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// An iterator over the messages of a receiver, returned by [`Receiver::iter`].
///
/// Its `next` parks until there is a message.
#[derive(Debug)]
pub struct Iter<'a, T> {
    rx: &'a Receiver<T>,
}

/// An iterator over the pending messages of a receiver, returned by [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    rx: &'a Receiver<T>,
}

/// An owning iterator over the messages of a receiver.
///
/// Its `next` parks until there is a message.
#[derive(Debug)]
pub struct IntoIter<T> {
    rx: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.rx.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.rx.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.rx.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { rx: self }
    }
}
