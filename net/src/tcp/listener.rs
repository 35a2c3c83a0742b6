//! `TcpListener`, and `listen`.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Type};

use super::stream::TcpStream;
use crate::addr::{ToSocketAddrs, each_addr};
use crate::convert::conversions;
use crate::methods::{forward, listener, socket};
use crate::socket::Socket;

/// The backlog: the maximum number of connections that may wait to be accepted.
pub(crate) const BACKLOG: i32 = 4096;

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
}

forward! { TcpListener:
    /// Returns the address that the socket listens at.
    local_addr() -> SocketAddr;
    /// Sets the time-to-live of the packets that the socket sends.
    set_ttl(ttl: u32) -> ();
    /// Returns the time-to-live of the packets that the socket sends.
    ttl() -> u32;
}

socket!(TcpListener);
conversions!(TcpListener, std::net::TcpListener);
listener!(TcpListener: TcpStream, SocketAddr, std::net::TcpListener);
