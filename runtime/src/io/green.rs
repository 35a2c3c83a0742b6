//! `Green<T>`: any descriptor that can be polled, made cooperative.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};

use super::registration::{Registration, Sharing, Timeout};
use crate::reactor::Direction;

/// A descriptor whose reads and writes park the green thread instead of the OS thread: a pipe, a
/// terminal, an eventfd, a socket of any kind. The sockets of `evy::net` are built on it.
///
/// The descriptor is made non-blocking, which every duplicate of it shares. It may be used from any
/// OS thread, and is fastest on the one that waited for it first.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use evy_runtime::io::Green;
///
/// let (reader, writer) = std::io::pipe()?;
/// let (mut reader, mut writer) = (Green::new(reader)?, Green::new(writer)?);
/// evy_runtime::spawn_n(move || writer.write_all(b"through a pipe").unwrap());
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "through a pipe");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Green<T: AsFd> {
    registration: Registration,
    inner: ManuallyDrop<T>,
}

impl<T: AsFd> Green<T> {
    /// Makes `inner` non-blocking and wraps it. Never parks.
    ///
    /// # Errors
    ///
    /// The system's, if the descriptor cannot be made non-blocking.
    pub fn new(inner: T) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(inner.as_fd(), true)?;
        Ok(Self::from_non_blocking(inner))
    }

    /// Wraps a descriptor that is non-blocking already. Never parks.
    pub fn from_non_blocking(inner: T) -> Self {
        Self {
            registration: Registration::default(),
            inner: ManuallyDrop::new(inner),
        }
    }

    /// What is wrapped. Its own reads and writes do not park: they say `WouldBlock`.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// Unwraps it, still non-blocking. Never parks.
    pub fn into_inner(mut self) -> T {
        self.registration.end();
        // SAFETY: `self` is forgotten on the next line, so it is taken out once.
        let inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        std::mem::forget(self);
        inner
    }

    /// Runs `op` until it does not say `WouldBlock`, and parks in between. `Interrupted` is tried
    /// again.
    ///
    /// `drained` says of a success whether `op` has got less than it asked for, so that the next
    /// one would block; where in doubt it says `false`.
    ///
    /// # Errors
    ///
    /// Those of `op`; `TimedOut` or `WouldBlock` when `timeout` ends; `ResourceBusy` if another green thread
    /// waits and `sharing` is [`Sharing::Exclusive`]; the poller's.
    #[inline]
    pub fn with_io<R>(
        &self,
        direction: Direction,
        sharing: Sharing,
        timeout: Timeout,
        mut op: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let op = || op(&self.inner);
        self.registration
            .with_io(self.as_fd(), direction, sharing, timeout, op, drained)
    }

    /// Parks until there is something to read, or an end.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another green thread reads; the system's.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait_ready(Direction::Read, Timeout::Never)
    }

    /// Parks until there is room to write, or an error to be told.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another green thread writes; the system's.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait_ready(Direction::Write, Timeout::Never)
    }

    /// Parks until `direction` is ready, or `timeout` ends.
    ///
    /// # Errors
    ///
    /// `TimedOut` or `WouldBlock`; `ResourceBusy` if another green thread waits for the same; the system's.
    pub fn wait_ready(&self, direction: Direction, timeout: Timeout) -> io::Result<()> {
        self.registration
            .wait_ready(self.as_fd(), direction, Sharing::Exclusive, timeout)
    }
}

impl<T: AsFd> Drop for Green<T> {
    fn drop(&mut self) {
        self.registration.end();
        // SAFETY: dropped here, once, when nothing is registered any more.
        unsafe { ManuallyDrop::drop(&mut self.inner) };
    }
}

impl<T: AsFd> AsFd for Green<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Green<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: AsFd> Read for &Green<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len();
        let op = |mut inner: &T| inner.read(buf);
        self.with_io(
            Direction::Read,
            Sharing::Exclusive,
            Timeout::Never,
            op,
            |n| (1..len).contains(n),
        )
    }
}

impl<T: AsFd> Read for Green<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl<T: AsFd> Write for &Green<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let op = |mut inner: &T| inner.write(buf);
        self.with_io(
            Direction::Write,
            Sharing::Exclusive,
            Timeout::Never,
            op,
            |n| *n < buf.len(),
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: AsFd> Write for Green<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
