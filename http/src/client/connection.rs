//! `Connection`: the transport of a client, whatever its type.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use evy_net::unix::UnixStream;
use evy_net::{Duplex, Stream, TcpStream};
use rustix::io::Errno;
use rustix::net::RecvFlags;

/// A transport of any type. It is the only type of stream that the client knows.
pub(super) struct Connection(Box<dyn Transport>);

impl Connection {
    pub(super) fn new(stream: impl Duplex) -> Self {
        Self(Box::new(stream))
    }

    /// Whether the peer has neither closed the connection nor sent anything.
    ///
    /// Parks for a moment, unless the transport is a socket.
    pub(super) fn is_silent(&mut self) -> bool {
        let stream: &dyn Any = &*self.0;
        let tcp = stream.downcast_ref::<TcpStream>().map(AsFd::as_fd);
        let socket = tcp.or_else(|| stream.downcast_ref::<UnixStream>().map(AsFd::as_fd));
        if let Some(socket) = socket {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            return rustix::net::recv(socket, &mut [0], flags) == Err(Errno::WOULDBLOCK);
        }
        // Session tickets of TLS are read here, and are not data.
        let read = self.read_within(Duration::from_nanos(1));
        let is_waiting = |kind| matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        read.is_err_and(|error| is_waiting(error.kind()))
    }

    /// Reads a byte, for at most `limit`.
    pub(super) fn read_within(&mut self, limit: Duration) -> io::Result<usize> {
        self.set_read_timeout((limit < Duration::MAX).then_some(limit))?;
        self.read(&mut [0])
    }

    /// Returns the transport, which can be asked for its type.
    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        self.0
    }
}

/// `Duplex` without the parts that need to know the type.
trait Transport: Stream {
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

    fn wait_readable(&mut self) -> io::Result<()> {
        self.0.wait_readable()
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
