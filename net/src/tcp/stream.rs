//! `TcpStream`, and `connect`.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use evy_runtime::io::{Green, Sharing, Timeout};
use evy_runtime::lowlevel::{charge, now};
use socket2::SockRef;

use super::connect::{connect_addr, connect_first};
use crate::addr::ToSocketAddrs;
use crate::convert::conversions;
use crate::dns;
use crate::socket::{Socket, check_nonzero, forward};
use crate::stream::Stream;

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
#[derive(Debug)]
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

    /// Returns another handle to the same connection.
    ///
    /// # Errors
    ///
    /// Never fails; the signature is std's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
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

    /// Sets how long a read may park, for all handles; `None` means without limit.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the timeout is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    /// Sets how long a write may park, for all handles; `None` means without limit.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the timeout is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    /// Returns the read timeout.
    ///
    /// # Errors
    ///
    /// Never fails; the signature is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.read_timeout())
    }

    /// Returns the write timeout.
    ///
    /// # Errors
    ///
    /// Never fails; the signature is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.write_timeout())
    }

    /// Makes reads and writes return `WouldBlock` instead of parking, for all handles.
    ///
    /// # Errors
    ///
    /// Never fails; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking);
        Ok(())
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
    /// Takes the pending error of the socket.
    take_error() -> Option<io::Error>;
}

conversions!(TcpStream, std::net::TcpStream);

impl Stream for TcpStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_write_timeout(timeout)
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    /// Sets `SO_LINGER` to zero.
    fn reset(&mut self) {
        // If that fails, the connection is gone already.
        SockRef::from(self.0.std())
            .set_linger(Some(Duration::ZERO))
            .ok();
    }
}

impl Read for &TcpStream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_vectored(bufs)
    }
}

impl Write for &TcpStream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    /// Does nothing, because nothing is buffered.
    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_vectored(bufs)
    }
}

impl Write for TcpStream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
