//! Waits for readiness apart from an operation: those of a green thread that waits for other things
//! besides, and those on a descriptor that others share.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::attempt::{renotify, wait_at};
use super::registration::TemporaryRegistration;

use crate::green::GreenRef;
use crate::list::Node;
use crate::reactor::{Direction, Source};
use crate::sched::{self, Scheduler};

/// The lowest number of a duplicate. Those of the standard streams are not taken if they are closed.
const FIRST_NUMBER: RawFd = 3;

/// Unparks the green thread that created it, once, when the descriptor is ready, while it is queued.
/// Events are polled for as long as it exists.
#[derive(Debug)]
pub(crate) struct ReadinessWaiter {
    /// The duplicate of the descriptor, if the registration is one of its own.
    duplicate: Option<OwnedFd>,
    source: Arc<Source>,
    direction: Direction,
    node: Box<Node<GreenRef>>,
    /// Whether [`queue`](Self::queue) was called last, and not [`unqueue`](Self::unqueue).
    is_queued: Cell<bool>,
}

impl ReadinessWaiter {
    /// Creates a waiter for the running green thread that is not queued.
    ///
    /// It registers a duplicate of `fd`. A new registration reports at once what is ready already,
    /// whatever readiness other registrations have cached.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, if there are too many descriptors or `fd` cannot be polled.
    pub(crate) fn new(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<Self> {
        let scheduler = sched::try_current()?;
        let duplicate = rustix::io::fcntl_dupfd_cloexec(fd, FIRST_NUMBER)?;
        let source = scheduler.reactor.register_duplicate(duplicate.as_fd())?;
        let mut waiter = Self::at(scheduler, &source, direction);
        waiter.duplicate = Some(duplicate);
        Ok(waiter)
    }

    /// Creates a waiter at a source of this OS thread that is not queued.
    pub(super) fn at(scheduler: &Scheduler, source: &Arc<Source>, direction: Direction) -> Self {
        scheduler.reactor.adjust_waiting(1);
        Self {
            duplicate: None,
            source: Arc::clone(source),
            direction,
            node: Box::new(Node::new(scheduler.running())),
            is_queued: Cell::new(false),
        }
    }

    /// Whether the source is known to be ready.
    pub(super) fn is_ready(&self) -> bool {
        self.source.is_ready(self.direction)
    }

    /// Queues the waiter at its source. From then on, an event unparks the green thread.
    pub(crate) fn queue(&self) {
        debug_assert!(!self.is_queued.get(), "a waiter is queued once");
        // SAFETY:
        // - The node is valid and does not move, because it is boxed.
        // - It is unregistered before it is freed, in `drop`.
        // - If the `ReadinessWaiter` is leaked, the node stays where it is. The wait that it
        //   belongs to, a `select!` or a `block_on`, does not end then, so its green thread lives.
        unsafe {
            let node = NonNull::from(&*self.node);
            self.source.register_waiter(self.direction, node, false);
        }
        self.is_queued.set(true);
    }

    /// Whether the descriptor has become ready since the waiter was queued.
    pub(super) fn is_notified(&self) -> bool {
        self.is_queued.get() && !self.node.is_linked()
    }

    /// Removes the waiter from the queue. Returns `true` if it was notified before. Then the next
    /// waiter is notified, because this one has not used the readiness.
    pub(super) fn unqueue(&self) -> bool {
        let is_notified = self.is_notified();
        if !self.is_queued.replace(false) {
            return false;
        }
        // SAFETY: `queue` has registered the node with this source, in this direction.
        unsafe {
            let node = NonNull::from(&*self.node);
            self.source.unregister_waiter(self.direction, node);
        }
        if is_notified && self.duplicate.is_none() {
            renotify(sched::current(), &self.source, self.direction);
        }
        is_notified
    }
}

impl Drop for ReadinessWaiter {
    fn drop(&mut self) {
        self.unqueue();
        let reactor = &sched::current().reactor;
        reactor.adjust_waiting(-1);
        if let Some(duplicate) = self.duplicate.take() {
            // It may be closed only when it is no longer registered.
            reactor.deregister(&self.source);
            drop(duplicate);
        }
    }
}

/// Returns `true` if `fd` is ready now.
///
/// # Errors
///
/// Returns the error of the system.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    let wanted = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    let zero_timeout = Timespec::try_from(Duration::ZERO).expect("zero is a valid timeout");
    loop {
        match rustix::event::poll(
            &mut [PollFd::from_borrowed_fd(fd, wanted)],
            Some(&zero_timeout),
        ) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Parks until `fd` is ready. The caller has found that it is not, so it is none of those that are
/// always ready, and cannot be registered.
///
/// A new registration reports at once what is ready already, whatever readiness other registrations
/// have cached. It is that of a duplicate, and ends with the wait.
///
/// # Errors
///
/// Returns `TimedOut` once `deadline` has passed, and the error of the system.
pub(super) fn wait_until_ready(
    scheduler: &Scheduler,
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
) -> io::Result<()> {
    let duplicate = rustix::io::fcntl_dupfd_cloexec(fd, FIRST_NUMBER)?;
    // Declared after the descriptor, so dropped before it.
    let temporary = TemporaryRegistration::of_duplicate(scheduler, duplicate.as_fd())?;
    wait_at(scheduler, temporary.source(), direction, false, deadline)
}
