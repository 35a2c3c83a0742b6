//! `TcpStream`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use evy_runtime::io::{Direction, Green, Sharing, Timeout};

use crate::addr::ToSocketAddrs;
use crate::listen;

/// A connection, as [`std::net::TcpStream`]. `Read` and `Write` park the green thread where std's
/// block the OS thread.
///
/// One green thread may read while another writes. A second reader (or writer) at the same time gets
/// an error of kind `ResourceBusy`, since neither could tell whose bytes it has.
///
/// It may be used from any OS thread, and is fastest on the one that waited for it first.
///
/// Differs from std: a read or write timeout says `TimedOut`, where std on unix says `WouldBlock`.
pub struct TcpStream(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) io: Green<std::net::TcpStream>,
    read_timeout: AtomicTimeout,
    write_timeout: AtomicTimeout,
    non_blocking: AtomicBool,
}

impl TcpStream {
    pub(crate) fn new(io: Green<std::net::TcpStream>) -> Self {
        Self(Arc::new(Inner {
            io,
            read_timeout: AtomicTimeout::default(),
            write_timeout: AtomicTimeout::default(),
            non_blocking: AtomicBool::new(false),
        }))
    }

    /// As [`connect`](crate::connect).
    ///
    /// # Errors
    ///
    /// As `connect`.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        crate::connect(addr)
    }

    /// A connection to one address. Parks until it is established or `timeout` has passed.
    ///
    /// # Errors
    ///
    /// `TimedOut`; `InvalidInput` for a timeout of zero; the system's.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        listen::check_nonzero(timeout)?;
        listen::connect_addr(*addr, Timeout::After(timeout))
    }

    /// Another handle to the same connection. Never parks, and never fails.
    ///
    /// Differs from std: no descriptor is duplicated.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    /// Shuts down one direction or both, for all handles; a parked reader wakes. Never parks.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.std().shutdown(how)
    }

    /// Reads without taking. Parks until there is something.
    ///
    /// # Errors
    ///
    /// As reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(|stream| stream.peek(buf), usize::MAX)
    }

    /// How long a read may park; `None`: for ever. It holds for all handles. Never parks.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero, as in std.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.read_timeout.set(timeout)
    }

    /// How long a write may park; `None`: for ever. It holds for all handles. Never parks.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero, as in std.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.write_timeout.set(timeout)
    }

    /// What was set. Never parks.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.read_timeout.duration())
    }

    /// What was set. Never parks.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.write_timeout.duration())
    }

    /// Has reads and writes say `WouldBlock` instead of parking, for all handles. Never parks.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.non_blocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    fn std(&self) -> &std::net::TcpStream {
        self.0.io.inner()
    }

    fn io_timeout(&self, timeout: &AtomicTimeout) -> Timeout {
        if self.0.non_blocking.load(Ordering::Relaxed) {
            return Timeout::NonBlocking;
        }
        timeout.duration().map_or(Timeout::Never, Timeout::After)
    }

    /// Less than `wanted`, but something, is all that was there.
    #[inline]
    fn read_with(
        &self,
        op: impl FnMut(&std::net::TcpStream) -> io::Result<usize>,
        wanted: usize,
    ) -> io::Result<usize> {
        let timeout = self.io_timeout(&self.0.read_timeout);
        let drained = |n: &usize| wanted != usize::MAX && (1..wanted).contains(n);
        self.0
            .io
            .with_io(Direction::Read, Sharing::Exclusive, timeout, op, drained)
    }

    /// Less than `offered` is all there was room for.
    #[inline]
    fn write_with(
        &self,
        op: impl FnMut(&std::net::TcpStream) -> io::Result<usize>,
        offered: usize,
    ) -> io::Result<usize> {
        let timeout = self.io_timeout(&self.0.write_timeout);
        self.0
            .io
            .with_io(Direction::Write, Sharing::Exclusive, timeout, op, |n| {
                *n < offered
            })
    }
}

macro_rules! forward {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ty),*) -> $result:ty;)*) => {
        /// What needs no waiting is std's own. None of these parks.
        impl TcpStream { $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn $name(&self, $($arg: $kind),*) -> io::Result<$result> {
                self.std().$name($($arg),*)
            }
        )* }
    };
}

forward! {
    /// The address of this end.
    local_addr() -> SocketAddr;
    /// The address of the other end.
    peer_addr() -> SocketAddr;
    /// Has small writes sent at once (`TCP_NODELAY`).
    set_nodelay(nodelay: bool) -> ();
    /// Whether small writes are sent at once.
    nodelay() -> bool;
    /// Sets the time-to-live of its packets.
    set_ttl(ttl: u32) -> ();
    /// The time-to-live of its packets.
    ttl() -> u32;
    /// Takes the error that the socket holds.
    take_error() -> Option<io::Error>;
}

impl Read for &TcpStream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len();
        self.read_with(|mut stream| stream.read(buf), wanted)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        self.read_with(|mut stream| stream.read_vectored(bufs), wanted)
    }
}

impl Write for &TcpStream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with(|mut stream| stream.write(buf), buf.len())
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        self.write_with(|mut stream| stream.write_vectored(bufs), offered)
    }

    /// Nothing is buffered. Never parks.
    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.io.fmt(f)
    }
}

/// A duration that handles on several OS threads share: nanoseconds, zero for none.
#[derive(Debug, Default)]
struct AtomicTimeout(AtomicU64);

impl AtomicTimeout {
    fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        timeout.map_or(Ok(()), listen::check_nonzero)?;
        let nanos = timeout.map_or(0, |timeout| {
            u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
        });
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }

    #[inline]
    fn duration(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}
