//! `Green<T>`: makes any descriptor that can be polled cooperative.

use std::fmt;
use std::io::{self, IsTerminal};
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::task::{Context, Poll};

use super::attempt::check_not_busy;
use super::operation::Operation;
use super::readiness::{is_ready, wait_until_ready};
use super::shared;
use super::timeout::{Sharing, Timeout};
use crate::reactor::Direction;
use crate::sched;
use crate::thread;

/// A cooperative descriptor: its reads and writes park the green thread instead of blocking the OS
/// thread.
///
/// It wraps anything that can be polled: a pipe, a terminal, an eventfd, a socket of any kind. The
/// sockets of `evy::net` are built on it. Regular files are always ready, so they are read and
/// written at once.
///
/// There are two kinds:
///
/// - [`Green::new`] makes the descriptor non-blocking. That affects every duplicate of it, in other
///   processes too.
/// - [`Green::shared`] changes nothing, and is slower. It is for a descriptor that others use: what
///   this process has inherited, or shares with a child.
///
/// A `Green` may be used from any OS thread; it is fastest on the one that waits for it first.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use evy::io::Green;
///
/// let (near, far) = UnixStream::pair()?;
/// let (mut near, mut far) = (Green::new(near)?, Green::new(far)?);
/// evy::spawn_n(move || far.write_all(b"through a socket").unwrap());
/// let mut text = String::new();
/// near.read_to_string(&mut text)?;
/// assert_eq!(text, "through a socket");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Green<T: AsFd> {
    operation: Operation,
    inner: ManuallyDrop<T>,
}

// As std's types: an operation that unwinds leaves no state that a later one could not work with.
impl<T: AsFd + UnwindSafe> UnwindSafe for Green<T> {}
impl<T: AsFd + RefUnwindSafe> RefUnwindSafe for Green<T> {}

impl<T: AsFd> Green<T> {
    /// Makes `inner` non-blocking and wraps it.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if `inner` is one of the descriptors 0 to 2, or a terminal. Other
    /// processes use those, such as the shell, and they expect them to be blocking. For these there
    /// are [`Green::shared`], and `evy::io::{stdin, stdout, stderr}`.
    ///
    /// Returns the error of the system if the descriptor cannot be made non-blocking.
    pub fn new(inner: T) -> io::Result<Self> {
        thread::charge(|| false);
        let fd = inner.as_fd();
        if fd.as_raw_fd() <= 2 || fd.is_terminal() {
            return Err(refused(fd));
        }
        rustix::io::ioctl_fionbio(fd, true)?;
        Ok(Self::from_non_blocking(inner))
    }

    /// Wraps a descriptor that is non-blocking already.
    pub fn from_non_blocking(inner: T) -> Self {
        Self {
            operation: Operation::default(),
            inner: ManuallyDrop::new(inner),
        }
    }

    /// Wraps a descriptor that others use too, and leaves it as it is.
    ///
    /// Reads and writes are system calls on the descriptor. A buffer inside of `inner`, such as that
    /// of [`std::io::Stdin`], is passed over. A write to a pipe takes at most `PIPE_BUF` bytes,
    /// because more might block the OS thread.
    ///
    /// Two cases remain in which the OS thread is blocked:
    ///
    /// - Others read from the same device, or from the same pipe or terminal if it cannot be opened
    ///   anew: on another system than Linux, or without `/proc`. They can take the data between the
    ///   moment when it is seen and the read.
    /// - A terminal is not read by its emulator, and cannot be opened anew, as in a process that has
    ///   changed its user.
    ///
    /// # Errors
    ///
    /// Returns the error of the system if the descriptor is not open.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::io::Green;
    /// use std::io::Write;
    ///
    /// let mut output = Green::shared(std::io::stdout())?;
    /// output.write_all(b"no other process finds its terminal changed\n")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shared(inner: T) -> io::Result<Self> {
        thread::charge(|| false);
        Self::for_one_call(inner)
    }

    /// Wraps a descriptor like [`shared`](Self::shared), for a single operation, which is charged
    /// itself.
    pub(crate) fn for_one_call(inner: T) -> io::Result<Self> {
        shared::check_open(inner.as_fd())?;
        let green = Self::from_non_blocking(inner);
        green.set_shared();
        Ok(green)
    }

    /// Goes on as if created by [`shared`](Self::shared), because others use the descriptor from now
    /// on.
    pub(super) fn set_shared(&self) {
        self.operation.set_shared();
    }

    /// Whether others use the descriptor, so that its mode must not be changed.
    pub(super) fn is_shared(&self) -> bool {
        self.operation.is_shared()
    }

    pub(super) fn operation(&self) -> &Operation {
        &self.operation
    }

    pub(super) fn parts_mut(&mut self) -> (&Operation, &mut T) {
        (&self.operation, &mut self.inner)
    }

    /// Whether the reactor of this OS thread reports the readiness of the descriptor, so that
    /// [`with_io`](Self::with_io) calls its operation only when there may be something to do. That
    /// is so once an operation had to wait.
    pub fn is_registered(&self) -> bool {
        let own = |scheduler| self.operation.registration.own(scheduler).is_some();
        sched::if_current().is_some_and(own)
    }

    /// Returns a reference to the wrapped value. Its own reads and writes return `WouldBlock`
    /// instead of parking, unless the descriptor is [shared](Self::shared): then they may block the
    /// OS thread.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// Returns the wrapped value. Its mode is not changed back, so it is still non-blocking, unless
    /// it was [shared](Self::shared).
    pub fn into_inner(mut self) -> T {
        self.operation.registration.end();
        // SAFETY: `self` is forgotten on the next line, so the value is taken out once.
        let inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        mem::forget(self);
        inner
    }

    /// Runs `op` until it returns something other than `WouldBlock`, parking in between.
    /// `Interrupted` is retried.
    ///
    /// `drained` decides whether a successful `op` has used up what the descriptor had to offer, so
    /// that the next call would block. For a [TCP socket](Self::is_tcp), that is so after a read that
    /// filled less than its buffer. For most other descriptors it cannot be known, and `drained` must
    /// return `false`.
    ///
    /// If the descriptor is [shared](Self::shared), `op` is called only if it is ready.
    ///
    /// # Parking
    ///
    /// Parks until the descriptor is ready. If the green thread has done many operations without
    /// parking, it yields first, so that the others get their turn. Nothing is thrown after `op` has
    /// succeeded.
    ///
    /// # Errors
    ///
    /// Returns the error of `op` or of the poller. Returns `TimedOut` or `WouldBlock` according to
    /// `timeout`. Returns `ResourceBusy` if `sharing` is [`Sharing::Exclusive`] and another green
    /// thread waits in the same direction.
    #[doc(alias = "try_io")]
    #[inline]
    pub fn with_io<R>(
        &self,
        direction: Direction,
        sharing: Sharing,
        timeout: Timeout,
        mut op: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let fd = self.as_fd();
        self.operation.run(
            &mut &*self.inner,
            direction,
            sharing,
            timeout,
            |inner| {
                self.operation.check_would_not_block(fd, direction)?;
                op(inner)
            },
            |_, value| drained(value),
        )
    }

    /// Returns `true` if the descriptor is a TCP socket, and the system has events that make use of
    /// that. The type of `T` does not show it, because a descriptor can be converted into any type.
    #[inline]
    pub fn is_tcp(&self) -> bool {
        self.operation.is_tcp(self.as_fd())
    }

    /// Runs `op` once, for a future inside of [`block_on`](crate::block_on). If `op` returns
    /// `WouldBlock`, the future is woken when the descriptor is ready in `direction`. `Interrupted`
    /// is retried.
    ///
    /// Of several tasks that poll in the same direction, the one that has polled last is woken. The
    /// one before it is woken at once, so that it can poll again.
    ///
    /// With the feature `futures-io`, a `Green` implements `AsyncRead` and `AsyncWrite` by this
    /// function. Timeouts of the wrapper do not apply.
    ///
    /// # Errors
    ///
    /// Returns the errors of `op` and of the poller. Returns `Unsupported` if it has to wait and is
    /// not called inside of `block_on`.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::io::{Direction, Green};
    /// use std::future::poll_fn;
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (near, mut far) = UnixStream::pair()?;
    /// let near = Green::new(near)?;
    /// evy::spawn_n(move || far.write_all(b"!").unwrap());
    /// let mut byte = [0];
    /// let read = poll_fn(|context| {
    ///     near.poll_io(context, Direction::Read, |mut stream| stream.read(&mut byte))
    /// });
    /// assert_eq!(evy::block_on(read)?, 1);
    /// assert_eq!(byte, *b"!");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_io<R>(
        &self,
        context: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let fd = self.as_fd();
        self.operation
            .poll(context, &mut &*self.inner, direction, |inner| {
                self.operation.check_would_not_block(fd, direction)?;
                op(inner)
            })
    }

    /// Waits until there is something to read, or the end of the stream.
    ///
    /// Parks until then.
    ///
    /// # Errors
    ///
    /// Returns `ResourceBusy` if another green thread reads, and the error of the system.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait_ready(Direction::Read, Timeout::Never)
    }

    /// Waits until there is room to write, or until the descriptor has failed.
    ///
    /// Parks until then.
    ///
    /// # Errors
    ///
    /// Returns `ResourceBusy` if another green thread writes, and the error of the system.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait_ready(Direction::Write, Timeout::Never)
    }

    /// Waits until `direction` is ready.
    ///
    /// Parks until then, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` or `WouldBlock` according to `timeout`, `ResourceBusy` if another green
    /// thread waits in the same direction, and the error of the system.
    pub fn wait_ready(&self, direction: Direction, mut timeout: Timeout) -> io::Result<()> {
        let scheduler = sched::try_current()?;
        let own = self.operation.registration.own(scheduler);
        thread::charge(|| false);
        if let Some(source) = own {
            check_not_busy(source, direction, Sharing::Exclusive)?;
        }
        if is_ready(self.as_fd(), direction)? {
            return Ok(());
        }
        let deadline = timeout.deadline(scheduler)?;
        wait_until_ready(scheduler, self.as_fd(), direction, deadline)
    }
}

#[cold]
fn refused(fd: BorrowedFd<'_>) -> io::Error {
    let number = fd.as_raw_fd();
    let what = match number {
        0 => "standard input",
        1 => "standard output",
        2 => "standard error",
        _ => "a terminal",
    };
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "descriptor {number} is {what}, which other processes share, so it must not become \
             non-blocking: use `evy::io::{{stdin, stdout, stderr}}`, or `Green::shared`"
        ),
    )
}

impl<T: AsFd> Drop for Green<T> {
    fn drop(&mut self) {
        self.operation.registration.end();
        // SAFETY: dropped once, here, when the descriptor is no longer registered.
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
        self.inner().fmt(f)
    }
}
