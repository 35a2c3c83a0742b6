//! Channels with many senders and one receiver, as [`std::sync::mpsc`].
//!
//! Between green threads of one OS thread or of several, and OS threads without any. The errors are
//! std's own.

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

use crate::thread::{deadline_after_any_thread, yield_if_over_budget};

/// A channel that is never full. Never parks.
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

/// A channel of so many messages at most; with zero, each send meets a receive. Never parks.
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(Some(bound)));
    (SyncSender(Arc::clone(&channel)), Receiver::new(channel))
}

/// The sending end of a [`channel`]; as [`std::sync::mpsc::Sender`].
pub struct Sender<T>(Arc<Channel<T>>);

impl<T> Sender<T> {
    /// Sends a message. Never parks.
    ///
    /// # Errors
    ///
    /// If the receiver is gone; the error has the message.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.0.send(message)
    }

    pub(crate) fn channel(&self) -> &Channel<T> {
        &self.0
    }
}

/// The sending end of a [`sync_channel`]; as [`std::sync::mpsc::SyncSender`].
pub struct SyncSender<T>(Arc<Channel<T>>);

impl<T> SyncSender<T> {
    /// Sends a message. Parks while the channel is full; who has waited longest comes first. Now and
    /// then it lets others run, so that a fast receiver elsewhere cannot starve them.
    ///
    /// # Errors
    ///
    /// If the receiver is gone; the error has the message.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        yield_if_over_budget();
        self.0.send(message)
    }

    /// Sends a message if there is room, or the receiver waits. Never parks.
    ///
    /// # Errors
    ///
    /// If there is none, or the receiver is gone; the error has the message.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.0.try_send(message)
    }

    pub(crate) fn channel(&self) -> &Channel<T> {
        &self.0
    }
}

/// The receiving end of a channel; as [`std::sync::mpsc::Receiver`].
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// There is one, and it is on one OS thread at a time.
    not_sync: PhantomData<Cell<()>>,
}

// The cell is not there.
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    fn new(channel: Arc<Channel<T>>) -> Self {
        Self {
            channel,
            not_sync: PhantomData,
        }
    }

    /// The next message. Parks while there is none. Now and then it lets others run, so that a fast
    /// sender elsewhere cannot starve them.
    ///
    /// # Errors
    ///
    /// If there is none, and all senders are gone.
    pub fn recv(&self) -> Result<T, RecvError> {
        yield_if_over_budget();
        self.channel.recv(None).map_err(|_| RecvError)
    }

    /// As [`recv`](Self::recv), but parks for `timeout` at most.
    ///
    /// # Errors
    ///
    /// `Timeout` if there was none in time; `Disconnected` as `recv`.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        yield_if_over_budget();
        // A moment that no clock can show is as good as never.
        self.channel.recv(deadline_after_any_thread(timeout))
    }

    /// The next message if there is one. Never parks.
    ///
    /// # Errors
    ///
    /// `Empty` if there is none; `Disconnected` if there will be none either.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.try_recv()
    }

    /// All messages, until the last sender is gone. Its `next` parks as [`recv`](Self::recv).
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    /// All messages that are there. Its `next` never parks.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter(self)
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

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T>(&'a Receiver<T>);

/// See [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T>(&'a Receiver<T>);

/// All messages of a receiver that is its own.
#[derive(Debug)]
pub struct IntoIter<T>(Receiver<T>);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
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
        IntoIter(self)
    }
}
