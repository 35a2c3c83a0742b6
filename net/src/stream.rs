//! `Stream` and `Duplex`: a connection, for protocols that are independent of the transport.

use std::any::Any;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// A connection: a byte stream in both directions. Reads and writes park the green thread.
///
/// [`TcpStream`](crate::TcpStream) and the `UnixStream` of `evy::os::unix::net` implement it.
/// Servers and protocols that are generic over it run over any other transport too. A
/// `Box<dyn Stream>` is a stream as well, for code that chooses the transport at run time.
///
/// # Examples
///
/// ```
/// use evy::net::{Stream, connect, listen};
/// use std::io::{self, Read};
///
/// fn greet(stream: &mut impl Stream) -> io::Result<()> {
///     stream.write_all(b"hello")?;
///     stream.close_write()
/// }
///
/// let server = listen("127.0.0.1:0")?;
/// let mut client = connect(server.local_addr()?)?;
/// greet(&mut server.accept()?.0)?;
/// let mut text = String::new();
/// client.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), io::Error>(())
/// ```
pub trait Stream: Read + Write + Any {
    /// Sets how long a read may park; `None` means without limit. A read that takes longer returns
    /// `TimedOut`.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the timeout is zero, and the error of the transport.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Sets how long a write may park; `None` means without limit. A write that takes longer
    /// returns `TimedOut`.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the timeout is zero, and the error of the transport.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Parks until there may be something to read, or the end of the stream, within the read
    /// timeout.
    ///
    /// A server calls it before it takes a buffer for a read, so that an idle connection needs
    /// none. It may return early: the read parks then. A transport that cannot wait without reading
    /// returns at once, which is the default.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` if the read timeout passes, and the error of the transport.
    fn wait_readable(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Ends the stream in the direction of the peer, which then reads the end of the stream. The
    /// other direction stays open.
    ///
    /// # Errors
    ///
    /// Returns the error of the transport.
    fn close_write(&mut self) -> io::Result<()>;

    /// Makes the peer see an error instead of the end of the stream when this stream is dropped,
    /// because not everything was sent. Does nothing where the transport has no such signal.
    fn reset(&mut self) {}

    /// Performs the handshake of the transport, if it has one.
    ///
    /// A server calls it on the connection's own green thread, and never while it accepts.
    ///
    /// # Errors
    ///
    /// Returns the error of the transport.
    fn handshake(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Returns what the handshake has settled, for code that knows the type, such as the session of
    /// TLS. Servers that are generic over the transport pass it on to their handlers.
    fn info(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

impl<S: Stream + ?Sized> Stream for Box<S> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        (**self).set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        (**self).set_write_timeout(timeout)
    }

    fn wait_readable(&mut self) -> io::Result<()> {
        (**self).wait_readable()
    }

    fn close_write(&mut self) -> io::Result<()> {
        (**self).close_write()
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn handshake(&mut self) -> io::Result<()> {
        (**self).handshake()
    }

    fn info(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        (**self).info()
    }
}

/// A [`Stream`] that can have several handles, so that one green thread reads while another one
/// writes.
///
/// [`TcpStream`](crate::TcpStream) and the `UnixStream` of `evy::os::unix::net` implement it.
/// [`copy_bidirectional`](crate::copy_bidirectional) needs it.
pub trait Duplex: Stream + Sized {
    /// Returns another handle to the same stream, like std's method of that name.
    ///
    /// # Errors
    ///
    /// Returns the error of the transport.
    fn try_clone(&self) -> io::Result<Self>;
}
