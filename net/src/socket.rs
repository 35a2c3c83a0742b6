//! `Socket<T>`: what all cooperative sockets have in common, for any socket `T` of std; and the
//! operations on streams of bytes. Those on datagrams are in [`datagram`](crate::datagram).

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evy_runtime::io::{Direction, Green, Sharing, Timeout};
use evy_runtime::lowlevel::charge;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::retry::retry;
use crate::timeouts::AtomicTimeout;

/// The most bytes that one system call moves: 2 GiB less one page, of at most 64 KiB.
const MAX_BYTES: usize = 0x7fff_0000;

/// The most buffers that one system call takes: `IOV_MAX`.
const MAX_BUFFERS: usize = 1024;

/// The error of a socket whose peer has closed raises no signal. On systems of Apple that is an option of
/// the socket, which std sets.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::empty();

/// A socket that all of its handles share, with the timeouts and the mode that apply to all of
/// them.
pub(crate) struct Socket<T: AsFd>(Arc<Inner<T>>);

struct Inner<T: AsFd> {
    io: Green<T>,
    read_timeout: AtomicTimeout,
    write_timeout: AtomicTimeout,
    nonblocking: AtomicBool,
}

impl<T: AsFd> Socket<T> {
    /// Wraps a socket that is non-blocking already.
    pub(crate) fn from_non_blocking(inner: T) -> Self {
        Self::from_green(Green::from_non_blocking(inner))
    }

    pub(crate) fn from_green(io: Green<T>) -> Self {
        Self(Arc::new(Inner {
            io,
            read_timeout: AtomicTimeout::default(),
            write_timeout: AtomicTimeout::default(),
            nonblocking: AtomicBool::new(false),
        }))
    }

    /// Makes `inner` non-blocking and wraps it.
    ///
    /// # Errors
    ///
    /// Returns the error of the system if the mode cannot be changed.
    pub(crate) fn new(inner: T) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(inner.as_fd(), true)?;
        Ok(Self::from_non_blocking(inner))
    }

    /// Returns the wrapped value, still non-blocking.
    ///
    /// # Errors
    ///
    /// Returns the socket itself if it has other handles.
    pub(crate) fn try_into_std(self) -> Result<T, Self> {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => Ok(inner.io.into_inner()),
            Err(shared) => Err(Self(shared)),
        }
    }

    /// Returns std's socket, for operations that never block.
    #[inline]
    pub(crate) fn std(&self) -> &T {
        self.0.io.inner()
    }

    /// Returns the descriptor, for the operations of futures.
    #[cfg(feature = "futures-io")]
    pub(crate) fn io(&self) -> &Green<T> {
        &self.0.io
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.0.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.read_timeout.set(timeout)
    }

    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.write_timeout.set(timeout)
    }

    pub(crate) fn read_timeout(&self) -> Option<Duration> {
        self.0.read_timeout.get()
    }

    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        self.0.write_timeout.get()
    }

    #[inline]
    fn io_timeout(&self, timeout: &AtomicTimeout) -> Timeout {
        if self.0.nonblocking.load(Ordering::Relaxed) {
            return Timeout::NonBlocking;
        }
        timeout.get().map_or(Timeout::Never, Timeout::After)
    }

    /// Runs `op`, parking until the socket is readable; see [`Green::with_io`].
    #[inline]
    pub(crate) fn read_with<R>(
        &self,
        sharing: Sharing,
        op: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let timeout = self.io_timeout(&self.0.read_timeout);
        self.0
            .io
            .with_io(Direction::Read, sharing, timeout, op, drained)
    }

    /// Runs `op`, parking until the socket is writable; see [`Green::with_io`].
    #[inline]
    pub(crate) fn write_with<R>(
        &self,
        sharing: Sharing,
        op: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let timeout = self.io_timeout(&self.0.write_timeout);
        self.0
            .io
            .with_io(Direction::Write, sharing, timeout, op, drained)
    }

    /// Runs `op` until it does not return `WouldBlock`, with pauses, because the system does not
    /// report when it is worth another attempt; see [`retry`].
    pub(crate) fn write_with_retries<R>(
        &self,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let timeout = self.io_timeout(&self.0.write_timeout);
        retry(&self.0.io, timeout, |inner| op(inner))
    }
}

/// A connection of std that carries bytes.
pub(crate) trait StdStream: AsFd
where
    for<'a> &'a Self: Read + Write,
{
    /// Whether it is a TCP socket, unless it was created from the descriptor of another one.
    const IS_TCP: bool;
}

/// An empty read parks for nothing, and an empty write needs no room.
///
/// No write raises SIGPIPE, whatever the program does with signals.
impl<T: StdStream> Socket<T>
where
    for<'a> &'a T: Read + Write,
{
    #[inline]
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len();
        if wanted == 0 {
            charge();
            return Ok(0);
        }
        let op = |stream: &T| {
            let (_, n) = rustix::net::recv(stream, &mut *buf, RecvFlags::empty())?;
            Ok(n)
        };
        self.read_with(Sharing::Exclusive, op, |n| {
            *n > 0 && self.is_drained(*n, wanted, 1)
        })
    }

    pub(crate) fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (wanted, count) = (total_len(bufs), bufs.len());
        if wanted == 0 {
            charge();
            return Ok(0);
        }
        let op = |mut stream: &T| stream.read_vectored(bufs);
        self.read_with(Sharing::Exclusive, op, |n| {
            *n > 0 && self.is_drained(*n, wanted, count)
        })
    }

    /// Parks until there may be something to read, or the end of the stream.
    pub(crate) fn wait_readable(&self) -> io::Result<()> {
        let is_nonblocking = self.0.nonblocking.load(Ordering::Relaxed);
        // A socket that is not registered is waited for once, and so gets registered.
        let asks = self.0.io.is_registered() || is_nonblocking;
        // Most reads of a TCP socket clear its readiness, which can be trusted then. Those of others
        // do not, so the first attempt asks the system. After a wait all are ready.
        let mut is_ready = asks && !is_nonblocking && T::IS_TCP && self.0.io.is_tcp();
        let op = |stream: &T| {
            if mem::replace(&mut is_ready, true) {
                return Ok(());
            }
            match asks {
                true => Ok(rustix::net::recv(stream, &mut [0], RecvFlags::PEEK).map(drop)?),
                false => Err(io::ErrorKind::WouldBlock.into()),
            }
        };
        self.read_with(Sharing::Exclusive, op, |()| false)
    }

    #[inline]
    pub(crate) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let op = |stream: &T| Ok(rustix::net::send(stream, buf, NO_SIGNAL)?);
        if buf.is_empty() {
            charge();
            return op(self.std());
        }
        self.write_with(Sharing::Exclusive, op, |n| {
            self.is_drained(*n, buf.len(), 1)
        })
    }

    pub(crate) fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered = total_len(bufs);
        if offered == 0 {
            return self.write(&[]);
        }
        // The system refuses more buffers than it takes.
        let taken = &bufs[..bufs.len().min(MAX_BUFFERS)];
        let op = |stream: &T| {
            let mut control = SendAncillaryBuffer::default();
            let sent = rustix::net::sendmsg(stream, taken, &mut control, NO_SIGNAL);
            Ok(sent?)
        };
        self.write_with(Sharing::Exclusive, op, |n| {
            self.is_drained(*n, offered, bufs.len())
        })
    }

    /// Whether an operation that moved `n` bytes has used up what the stream had to offer, because
    /// it has done less than it was asked to. A request beyond the limits of one system call is
    /// never completed, so it shows nothing.
    #[inline]
    fn is_drained(&self, n: usize, asked: usize, buffers: usize) -> bool {
        let is_short = n < asked && asked <= MAX_BYTES && buffers <= MAX_BUFFERS;
        T::IS_TCP && is_short && self.0.io.is_tcp()
    }
}

fn total_len<B: Deref<Target = [u8]>>(bufs: &[B]) -> usize {
    let lens = bufs.iter().map(|buf| buf.len());
    lens.fold(0, usize::saturating_add)
}

impl<T: AsFd> Clone for Socket<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: AsFd> AsFd for Socket<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.io.as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Socket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std().fmt(f)
    }
}
