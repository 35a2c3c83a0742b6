//! `Timeout` and `Sharing`: limits on waiting for a descriptor.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::sched::Scheduler;

/// A limit on how long an I/O operation may park.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timeout {
    /// No limit.
    Never,
    /// A deadline. When it has passed, the operation returns `TimedOut`.
    At(Instant),
    /// A duration, counted from the first time the operation has to wait. When it has passed, the
    /// operation returns `TimedOut`.
    After(Duration),
    /// No parking. The operation returns `WouldBlock` instead.
    NonBlocking,
}

impl Timeout {
    /// Returns the deadline of a wait that begins now; `None` never passes. From the first call on,
    /// a duration is a fixed deadline.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if the operation must not park.
    #[inline]
    pub(super) fn deadline(&mut self, scheduler: &Scheduler) -> io::Result<Option<Instant>> {
        if let Self::After(duration) = *self {
            let deadline = scheduler.clock.deadline_after(duration);
            *self = deadline.map_or(Self::Never, Self::At);
        }
        match *self {
            Self::At(deadline) => Ok(Some(deadline)),
            Self::Never | Self::After(_) => Ok(None),
            // As the system call itself, for programs that look at the number.
            Self::NonBlocking => Err(Errno::WOULDBLOCK.into()),
        }
    }
}

/// A limit on the green threads that wait in the same direction of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// One green thread. A second one gets an error, because the bytes of a stream that two green
    /// threads read would go to either of them.
    Exclusive,
    /// Any number of green threads, in FIFO order. Suitable where each operation is complete in
    /// itself: accepting a connection, receiving a datagram.
    Shared,
}
