//! `Connection`: the transport of a client, whatever its type.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use evy_net::{Duplex, Stream};

use crate::upgrade::AnyStream;

/// A transport of any type. It is the only type of stream that the client knows.
pub(super) struct Connection(Box<dyn Transport>);

impl Connection {
    pub(super) fn new(stream: impl Duplex) -> Self {
        Self(Box::new(stream))
    }

    /// Returns the transport, which can be asked for its type.
    pub(super) fn into_stream(self) -> Box<dyn AnyStream> {
        self.0
    }
}

/// `Duplex` without the parts that need to know the type.
trait Transport: AnyStream {
    fn try_clone_box(&self) -> io::Result<Box<dyn Transport>>;
}

impl<D: Duplex> Transport for D {
    fn try_clone_box(&self) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(self.try_clone()?))
    }
}

impl Read for Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Connection {
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

impl Stream for Connection {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.0.close_write()
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn handshake(&mut self) -> io::Result<()> {
        self.0.handshake()
    }

    fn info(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.info()
    }
}

impl Duplex for Connection {
    fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone_box().map(Self)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
