//! `TcpListener`, and `listen`.

use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;

use evy_runtime::io::{Green, Sharing};
use socket2::{Domain, Protocol, Type};

use super::stream::TcpStream;
use crate::accept_error::AcceptError;
use crate::addr::{ToSocketAddrs, each_addr};
use crate::convert::conversions;
use crate::listener::Listener;
use crate::socket::{Socket, forward};

/// The backlog: the maximum number of connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Returns a socket that listens at `addr`, with `SO_REUSEADDR` set, so that a server can be
/// restarted at once. The same as [`TcpListener::bind`].
///
/// # Errors
///
/// Returns an error as `bind` does.
///
/// # Examples
///
/// ```
/// let server = evy::listen("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// evy::spawn_n(move || drop(evy::connect(addr)));
/// let (_client, _addr) = server.accept()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn listen<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
    TcpListener::bind(addr)
}

/// A socket that accepts connections, like [`std::net::TcpListener`].
///
/// Several green threads may accept at the same time. They are served in FIFO order. Only
/// [`bind`](Self::bind) and [`accept`](Self::accept) park, and so does [`Incoming`].
///
/// # Examples
///
/// ```
/// use evy::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// evy::spawn_n(move || {
///     let mut client = TcpStream::connect(addr).unwrap();
///     client.write_all(b"hello").unwrap();
/// });
/// let (mut stream, _) = server.accept()?;
/// let mut text = String::new();
/// stream.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpListener(Socket<std::net::TcpListener>);

impl TcpListener {
    /// Creates a socket that listens at `addr`, with `SO_REUSEADDR` set and a backlog of 4096. If
    /// there are several addresses, the first one that can be bound is used.
    ///
    /// Parks only to resolve a name.
    ///
    /// # Errors
    ///
    /// Returns the error of the system for the last address tried, and `InvalidInput` if there is
    /// none.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        each_addr(addr, |addr| {
            let socket =
                socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            Ok(Self(Socket::from_non_blocking(socket.into())))
        })
    }

    /// Accepts the next connection, like [`std::net::TcpListener::accept`].
    ///
    /// Parks until there is one.
    ///
    /// # Differences from std
    ///
    /// - A connection that has failed before it could be accepted is skipped, as accept(2)
    ///   recommends.
    ///
    /// # Errors
    ///
    /// Returns the error of the system. After an error about a limit (descriptors, memory) the
    /// connection is still waiting, and can be accepted once there is room.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            match self.try_accept() {
                Err(error) if AcceptError::of(&error) == AcceptError::Connection => {}
                accepted => return accepted,
            }
        }
    }

    /// Accepts the next connection, or returns the error with which it has failed.
    fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let op = std::net::TcpListener::accept;
        let (stream, addr) = self.0.read_with(Sharing::Shared, op, |_| false)?;
        stream.set_nonblocking(true)?;
        let io = Green::from_non_blocking(stream);
        Ok((TcpStream::from_green(io), addr))
    }

    /// Returns an endless iterator over connections, each `next` of which is an
    /// [`accept`](Self::accept).
    #[must_use]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Returns another handle to the same socket.
    ///
    /// # Differences from std
    ///
    /// - No descriptor is duplicated.
    ///
    /// # Errors
    ///
    /// Never fails; the signature is std's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
    }

    /// Makes [`accept`](Self::accept) return `WouldBlock` instead of parking, for all handles.
    ///
    /// # Errors
    ///
    /// Never fails; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking);
        Ok(())
    }
}

forward! { TcpListener:
    /// Returns the address that the socket listens at.
    local_addr() -> SocketAddr;
    /// Sets the time-to-live of the packets that the socket sends.
    set_ttl(ttl: u32) -> ();
    /// Returns the time-to-live of the packets that the socket sends.
    ttl() -> u32;
    /// Takes the pending error of the socket.
    take_error() -> Option<io::Error>;
}

conversions!(TcpListener, std::net::TcpListener);

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.try_accept()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

/// An endless iterator over accepted connections. Returned by [`TcpListener::incoming`].
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
