//! `Operation`: the loop of every operation on a descriptor, and what it keeps between two of them.
//!
//! The loop tries the system call. If the call would block, the green thread parks until the
//! descriptor is ready, and tries again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use super::attempt::{Attempt, check_not_busy, is_busy, timed_out, wait_at};
use super::drained;
use super::future_waits::FutureWaits;
use super::readiness::{ReadinessWaiter, is_ready, wait_until_ready};
use super::registration::{Registered, Registration};
use super::shared;
use super::timeout::{Sharing, Timeout};
use crate::reactor::{Direction, Source};
use crate::sched::{self, Scheduler};
use crate::thread;

/// The pause after a call that would block although the descriptor is ready.
const PAUSE: Duration = Duration::from_millis(5);

/// What a descriptor keeps between operations.
#[derive(Debug, Default)]
pub(super) struct Operation {
    pub(super) registration: Registration,
    /// Whether the descriptor is a TCP socket; not known until it matters.
    is_tcp: OnceLock<bool>,
    /// Others use the same file description, so its mode must not be changed ([`super::shared`]).
    is_shared: AtomicBool,
}

impl Operation {
    /// Whether others use the same file description. It may be blocking then.
    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Records that others use the same file description from now on.
    pub(super) fn set_shared(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Whether a short read or write shows that there is nothing more to read, or no more room.
    pub(super) fn is_tcp(&self, fd: BorrowedFd<'_>) -> bool {
        *self.is_tcp.get_or_init(|| drained::is_tcp(fd))
    }

    /// Returns `WouldBlock` if the file description may be blocking, and is not ready.
    #[inline]
    pub(super) fn check_would_not_block(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
    ) -> io::Result<()> {
        match self.is_shared() {
            true => shared::check_ready(fd, direction),
            false => Ok(()),
        }
    }

    /// Runs `op` until it returns something other than `WouldBlock`; see
    /// [`Green::with_io`](super::Green::with_io).
    #[inline]
    pub(super) fn run<I: AsFd, R>(
        &self,
        inner: &mut I,
        direction: Direction,
        sharing: Sharing,
        timeout: Timeout,
        op: impl FnMut(&mut I) -> io::Result<R>,
        drained: impl FnOnce(&I, &R) -> bool,
    ) -> io::Result<R> {
        let scheduler = sched::try_current()?;
        if timeout == Timeout::NonBlocking {
            thread::charge_without_yield();
            let result = self.repeat(scheduler, inner, direction, sharing, timeout, op, drained);
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
        self.repeat(scheduler, inner, direction, sharing, timeout, op, drained)
    }

    /// Runs `op` once for a future. If it would block, the future is woken when the descriptor is
    /// ready.
    ///
    /// # Errors
    ///
    /// Returns the errors of `op` and of the reactor, and an error outside of `block_on`.
    pub(super) fn poll<I: AsFd, R>(
        &self,
        context: &mut Context<'_>,
        inner: &mut I,
        direction: Direction,
        mut op: impl FnMut(&mut I) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let scheduler = sched::try_current()?;
        thread::charge(|| false);
        loop {
            let (sharing, timeout) = (Sharing::Shared, Timeout::NonBlocking);
            let result = self.repeat(
                scheduler,
                inner,
                direction,
                sharing,
                timeout,
                &mut op,
                |_, _| false,
            );
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            let waits = FutureWaits::current()?;
            let fd = inner.as_fd();
            // Descriptors that others share, and those that belong to the reactor of another OS
            // thread, get a registration for this wait.
            let own = match self.is_shared() {
                true => None,
                false => {
                    drop(self.registration.register(scheduler, fd)?);
                    self.registration.own(scheduler)
                }
            };
            match own {
                // An event has arrived while `op` ran, and it may have found nothing before.
                Some(source) if source.is_ready(direction) => continue,
                Some(source) => waits.add(
                    (Arc::as_ptr(source).addr(), direction),
                    ReadinessWaiter::at(scheduler, source, direction),
                    context.waker(),
                ),
                None => waits.add(
                    (ptr::from_ref(self).addr(), direction),
                    ReadinessWaiter::new(fd, direction)?,
                    context.waker(),
                ),
            }
            return Poll::Pending;
        }
    }

    #[inline]
    #[expect(clippy::too_many_arguments, reason = "it is one half of `run`")]
    fn repeat<I: AsFd, R>(
        &self,
        scheduler: &Scheduler,
        inner: &mut I,
        direction: Direction,
        sharing: Sharing,
        mut timeout: Timeout,
        mut op: impl FnMut(&mut I) -> io::Result<R>,
        drained: impl FnOnce(&I, &R) -> bool,
    ) -> io::Result<R> {
        if thread::is_destructor_timed_out(scheduler) {
            return Err(timed_out());
        }
        let is_blocking = timeout != Timeout::NonBlocking;
        let own = self.registration.own(scheduler);
        let mut registered = own.map(|source| Registered::Own(source));
        if self.is_shared() {
            registered = None;
        }
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
                match op(inner) {
                    Ok(value) => {
                        if let Some(attempt) = attempt {
                            attempt.succeed(drained(inner, &value));
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
            if self.is_shared() {
                registered = None;
                // A terminal may be ready and have no room for a newline.
                if in_front && is_ready(inner.as_fd(), direction)? {
                    thread::sleep(PAUSE);
                }
                wait_until_ready(scheduler, inner.as_fd(), direction, deadline)?;
                in_front = true;
                continue;
            }
            let source = match &registered {
                Some(registered) => registered.source(),
                None => {
                    let new = self.registration.register(scheduler, inner.as_fd())?;
                    let source = registered.insert(new).source();
                    check_not_busy(source, direction, sharing)?;
                    source
                }
            };
            wait_at(scheduler, source, direction, in_front, deadline)?;
            in_front = true;
        }
    }
}
