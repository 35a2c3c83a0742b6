//! `Green<T>`: makes any descriptor that can be polled cooperative.
//!
//! Every operation on a descriptor is one loop: try the system call; if it would block, park until
//! the descriptor is ready; try again.

use std::fmt;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use super::attempt::{Attempt, check_not_busy, is_busy, timed_out, wait_at};
use super::drained;
use super::registration::{Registered, Registration, TemporaryRegistration};
use super::timeout::{Sharing, Timeout};
use crate::reactor::{Direction, Source};
use crate::sched::{self, Scheduler};
use crate::thread;

/// A cooperative descriptor: its reads and writes park the green thread instead of blocking the OS
/// thread.
///
/// It wraps anything that can be polled: a pipe, a terminal, an eventfd, a socket of any kind. The
/// sockets of `evy::net` are built on it.
///
/// The descriptor is made non-blocking, which affects every duplicate of it. A `Green` may be used
/// from any OS thread; it is fastest on the one that waits for it first.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use evy::io::Green;
///
/// let (reader, writer) = std::io::pipe()?;
/// let (mut reader, mut writer) = (Green::new(reader)?, Green::new(writer)?);
/// evy::spawn_n(move || writer.write_all(b"through a pipe").unwrap());
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "through a pipe");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Green<T: AsFd> {
    registration: Registration,
    /// Whether the descriptor is a TCP socket; not known until it matters.
    is_tcp: OnceLock<bool>,
    inner: ManuallyDrop<T>,
}

impl<T: AsFd> Green<T> {
    /// Makes `inner` non-blocking and wraps it.
    ///
    /// # Errors
    ///
    /// Returns the error of the system if the descriptor cannot be made non-blocking.
    pub fn new(inner: T) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(inner.as_fd(), true)?;
        Ok(Self::from_non_blocking(inner))
    }

    /// Wraps a descriptor that is non-blocking already.
    pub fn from_non_blocking(inner: T) -> Self {
        Self {
            registration: Registration::default(),
            is_tcp: OnceLock::new(),
            inner: ManuallyDrop::new(inner),
        }
    }

    /// Returns a reference to the wrapped value. Its own reads and writes return `WouldBlock`
    /// instead of parking.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// Whether a short read or write shows that there is nothing more to read, or no more room.
    pub(super) fn is_tcp(&self) -> bool {
        *self.is_tcp.get_or_init(|| drained::is_tcp(self.as_fd()))
    }

    /// Returns the wrapped value, which is still non-blocking.
    pub fn into_inner(mut self) -> T {
        self.registration.end();
        // SAFETY: `self` is forgotten on the next line, so the value is taken out once.
        let inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        mem::forget(self);
        inner
    }

    /// Runs `op` until it returns something other than `WouldBlock`, parking in between.
    /// `Interrupted` is retried.
    ///
    /// `drained` decides whether a successful `op` has used up what the descriptor had to offer, so that
    /// the next call would block. For a TCP socket, that is so after a read that filled less than its
    /// buffer. For most other descriptors it cannot be known, and `drained` must return `false`.
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
        op: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let scheduler = sched::try_current()?;
        if timeout == Timeout::NonBlocking {
            thread::charge_without_yield();
            let result = self.repeat(scheduler, direction, sharing, timeout, op, drained);
            if result.is_err() {
                thread::charge_failure();
            }
            return result;
        }
        thread::charge(|| {
            let own = self.registration.own(scheduler);
            own.is_some_and(|source| {
                !source.is_ready(direction) && !is_busy(source, direction, sharing)
            })
        });
        self.repeat(scheduler, direction, sharing, timeout, op, drained)
    }

    #[inline]
    fn repeat<R>(
        &self,
        scheduler: &Scheduler,
        direction: Direction,
        sharing: Sharing,
        mut timeout: Timeout,
        mut op: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        if thread::is_destructor_timed_out(scheduler) {
            return Err(timed_out());
        }
        let is_blocking = timeout != Timeout::NonBlocking;
        let own = self.registration.own(scheduler);
        let mut registered = own.map(|source| Registered::Own(source));
        // A waiter that was woken in vain stays at the head of the queue.
        let mut in_front = false;
        loop {
            let source = registered.as_ref().map(Registered::source);
            if let Some(source) = source {
                check_not_busy(source, direction, sharing)?;
            }
            // Without cached readiness, only the call itself can show it, so it is tried. A call that
            // must not park always asks the system. Any other call begins behind those that wait:
            // the first of them has been woken, and wakes the next.
            let is_first = in_front || sharing == Sharing::Exclusive;
            let may_try = |source: &Source| {
                source.is_ready(direction) && (is_first || source.waiter(direction).is_none())
            };
            if !is_blocking || source.is_none_or(may_try) {
                let attempt = source.map(|source| Attempt::new(scheduler, source, direction));
                match op(&self.inner) {
                    Ok(value) => {
                        if let Some(attempt) = attempt {
                            attempt.succeed(drained(&value));
                        }
                        return Ok(value);
                    }
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => {
                            if let Some(attempt) = attempt
                                && !attempt.find_nothing()
                                && is_blocking
                            {
                                continue;
                            }
                        }
                        io::ErrorKind::Interrupted => continue,
                        _ => return Err(error),
                    },
                }
            }
            let deadline = timeout.deadline(scheduler)?;
            let source = match &registered {
                Some(registered) => registered.source(),
                None => {
                    let new = self.registration.register(scheduler, self.as_fd())?;
                    let source = registered.insert(new).source();
                    check_not_busy(source, direction, sharing)?;
                    source
                }
            };
            wait_at(scheduler, source, direction, in_front, deadline)?;
            in_front = true;
        }
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
        let own = self.registration.own(scheduler);
        thread::charge(|| {
            !own.is_some_and(|source| is_busy(source, direction, Sharing::Exclusive))
        });
        if let Some(source) = own {
            check_not_busy(source, direction, Sharing::Exclusive)?;
        }
        // A new registration reports at once what is ready already, whatever the cached readiness
        // says of earlier operations.
        let duplicate = rustix::io::fcntl_dupfd_cloexec(self.as_fd(), 0)?;
        // Declared after the descriptor, so dropped before it.
        let temporary = TemporaryRegistration::of_duplicate(scheduler, duplicate.as_fd())?;
        let deadline = timeout.deadline(scheduler)?;
        wait_at(scheduler, temporary.source(), direction, false, deadline)
    }
}

impl<T: AsFd> Drop for Green<T> {
    fn drop(&mut self) {
        self.registration.end();
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
        self.inner.fmt(f)
    }
}
