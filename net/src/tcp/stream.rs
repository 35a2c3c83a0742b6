//! `TcpStream`, and `connect`.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use evy_runtime::io::{Green, Sharing, Timeout};
use evy_runtime::lowlevel::{charge, now};
use socket2::SockRef;

use super::connect::{connect_addr, connect_first};
use crate::addr::ToSocketAddrs;
use crate::convert::conversions;
use crate::dns;
use crate::methods::{byte_stream, forward, socket, timeouts};
use crate::socket::{Socket, StdStream};
use crate::timeouts::check_nonzero;

/// Opens a TCP connection to `addr`. The same as [`TcpStream::connect`].
///
/// Parks until the connection is established.
///
/// # Errors
///
/// Returns an error as `TcpStream::connect` does.
pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
    TcpStream::connect(addr)
}

/// Opens a TCP connection to `addr` like [`connect`], within `timeout`, which covers the resolution
/// of a name and all of its addresses together.
///
/// Parks until the connection is established.
///
/// # Errors
///
/// Returns `TimedOut`, `InvalidInput` if the timeout is zero, and the errors of `connect`.
pub fn connect_timeout<A: ToSocketAddrs>(addr: A, timeout: Duration) -> io::Result<TcpStream> {
    check_nonzero(timeout)?;
    TcpStream::connect_until(addr, now().checked_add(timeout))
}

/// A TCP connection, like [`std::net::TcpStream`]: its reads and writes park the green thread
/// instead of blocking the OS thread.
///
/// One green thread may read while another one writes. A second reader or a second writer at the
/// same time gets an error of kind `ResourceBusy`, because neither could know which bytes were
/// meant for it.
///
/// A stream may be used from any OS thread. It is fastest on the one that waits for it first.
///
/// Besides `Read` and `Write`, only [`connect`](Self::connect),
/// [`connect_timeout`](Self::connect_timeout) and [`peek`](Self::peek) park.
///
/// # Differences from std
///
/// - When a read or write timeout passes, the error is of kind `TimedOut`; on unix, std returns
///   `WouldBlock`.
/// - `try_clone` duplicates no descriptor.
pub struct TcpStream(pub(crate) Socket<std::net::TcpStream>);

impl TcpStream {
    pub(super) fn from_green(io: Green<std::net::TcpStream>) -> Self {
        Self(Socket::from_green(io))
    }

    /// Opens a connection to `addr`.
    ///
    /// Parks until the connection is established.
    ///
    /// # Differences from std
    ///
    /// - If there are several addresses, the attempts overlap, as RFC 8305 describes. The next one
    ///   starts 250 ms after the last, or as soon as one fails. The first connection that is
    ///   established is returned. IPv4 and IPv6 addresses alternate.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, such as `ConnectionRefused`, and `InvalidInput` if there is
    /// no address. If there are several, the error has the kind of the last failure, and its
    /// message names each address.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        Self::connect_until(addr, None)
    }

    fn connect_until(addr: impl ToSocketAddrs, deadline: Option<Instant>) -> io::Result<Self> {
        let addrs = dns::resolve(addr, deadline)?;
        connect_first(&addrs, deadline).map(Self::from_green)
    }

    /// Opens a connection to one address.
    ///
    /// Parks until the connection is established, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut`, `InvalidInput` if the timeout is zero, and the error of the system.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        check_nonzero(timeout)?;
        connect_addr(*addr, Timeout::After(timeout)).map(Self::from_green)
    }

    /// Receives data without removing it from the queue.
    ///
    /// Parks until there is some.
    ///
    /// # Errors
    ///
    /// Returns an error as reading does.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            charge();
            return Ok(0);
        }
        let op = |stream: &std::net::TcpStream| stream.peek(buf);
        self.0.read_with(Sharing::Exclusive, op, |_| false)
    }
}

forward! { TcpStream:
    /// Shuts down one direction or both, for all handles. A parked reader wakes.
    shutdown(how: Shutdown) -> ();
    /// Returns the address of this end.
    local_addr() -> SocketAddr;
    /// Returns the address of the other end.
    peer_addr() -> SocketAddr;
    /// Sets whether small writes are sent at once (`TCP_NODELAY`).
    set_nodelay(nodelay: bool) -> ();
    /// Returns whether small writes are sent at once.
    nodelay() -> bool;
    /// Sets the time-to-live of the packets that the socket sends.
    set_ttl(ttl: u32) -> ();
    /// Returns the time-to-live of the packets that the socket sends.
    ttl() -> u32;
}

socket!(TcpStream);
conversions!(TcpStream, std::net::TcpStream);
timeouts!(TcpStream);
byte_stream! { TcpStream {
    /// Sets `SO_LINGER` to zero.
    fn reset(&mut self) {
        // If that fails, the connection is gone already.
        SockRef::from(self.0.std())
            .set_linger(Some(Duration::ZERO))
            .ok();
    }
} }

impl StdStream for std::net::TcpStream {
    const IS_TCP: bool = true;
}
