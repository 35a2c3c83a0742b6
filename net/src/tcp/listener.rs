//! `TcpListener`.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evy_runtime::io::{Direction, Green, Sharing, Timeout};

use super::TcpStream;
use crate::addr::ToSocketAddrs;

/// A socket that accepts connections, as [`std::net::TcpListener`].
///
/// Several green threads may accept at the same time; they are served in the order they came.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// let server = evy_net::TcpListener::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// evy_runtime::spawn_n(move || {
///     let mut client = evy_net::TcpStream::connect(addr).unwrap();
///     client.write_all(b"hello").unwrap();
/// });
/// let (mut stream, _) = server.accept()?;
/// let mut text = String::new();
/// stream.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) io: Green<std::net::TcpListener>,
    non_blocking: AtomicBool,
}

impl TcpListener {
    pub(crate) fn new(io: Green<std::net::TcpListener>) -> Self {
        Self(Arc::new(Inner {
            io,
            non_blocking: AtomicBool::new(false),
        }))
    }

    /// As [`listen`](crate::listen).
    ///
    /// # Errors
    ///
    /// As `listen`.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        crate::listen(addr)
    }

    /// Takes the next connection. Parks until there is one.
    ///
    /// Differs from std: a connection that its client has given up meanwhile is passed over.
    ///
    /// # Errors
    ///
    /// The system's. After one about a limit (descriptors, memory) the connection still waits, and
    /// can be accepted when there is room.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let waits = !self.0.non_blocking.load(Ordering::Relaxed);
        let timeout = if waits {
            Timeout::Never
        } else {
            Timeout::NonBlocking
        };
        loop {
            let accept = std::net::TcpListener::accept;
            match self
                .0
                .io
                .with_io(Direction::Read, Sharing::Shared, timeout, accept, |_| false)
            {
                Ok((stream, addr)) => return Ok((TcpStream::new(Green::new(stream)?), addr)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Connections without an end; each `next` is an [`accept`](Self::accept). Never parks itself.
    #[must_use]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Where it listens. Never parks.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.io.inner().local_addr()
    }

    /// Another handle to the same socket. Never parks, and never fails.
    ///
    /// Differs from std: no descriptor is duplicated.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    /// Has [`accept`](Self::accept) say `WouldBlock` instead of parking. Never parks.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.non_blocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    /// Sets the time-to-live of its packets. Never parks.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.io.inner().set_ttl(ttl)
    }

    /// The time-to-live of its packets. Never parks.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.io.inner().ttl()
    }

    /// Takes the error that the socket holds. Never parks.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.io.inner().take_error()
    }
}

/// The connections of [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.io.fmt(f)
    }
}
