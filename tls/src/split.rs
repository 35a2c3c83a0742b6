//! `ReadHalf` and `WriteHalf`: the two halves of a stream, for two green threads.

use std::io::{self, IoSlice, Read, Write};
use std::time::Duration;

use evy_net::Stream as _;

use crate::session::Session;
use crate::stream::Stream;

/// The half of a [`Stream`] that is read from. Returned by [`Stream::split`].
#[derive(Debug)]
pub struct ReadHalf<S: evy_net::Stream>(Stream<S>);

/// The half of a [`Stream`] that is written to. Returned by [`Stream::split`].
#[derive(Debug)]
pub struct WriteHalf<S: evy_net::Stream>(Stream<S>);

impl<S: evy_net::Stream> ReadHalf<S> {
    pub(crate) fn new(stream: Stream<S>) -> Self {
        Self(stream)
    }

    /// Returns what the handshake has settled.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.0.session()
    }

    /// Sets how long a read may park; `None` means without limit.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the timeout is zero, and the error of the transport.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }
}

impl<S: evy_net::Stream> WriteHalf<S> {
    pub(crate) fn new(stream: Stream<S>) -> Self {
        Self(stream)
    }

    /// Returns what the handshake has settled.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.0.session()
    }

    /// Sets how long a write may park; `None` means without limit.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the timeout is zero, and the error of the transport.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    /// Announces the end of the stream to the peer. The other half can still be read from.
    ///
    /// Parks until the announcement has been sent.
    ///
    /// # Errors
    ///
    /// Returns the error of the transport.
    pub fn close_write(&mut self) -> io::Result<()> {
        self.0.close_write()
    }

    /// Makes the peer see an error instead of the end of the stream when both halves are dropped.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

impl<S: evy_net::Stream> Read for ReadHalf<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<S: evy_net::Stream> Write for WriteHalf<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
