//! The `readable` and `writable` arms, for descriptors.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::arms::{Arm, SelectHandle};
use crate::io::{Direction, ReadinessWaiter};
use crate::thread::SelectToken;

/// Returns an arm that is ready when `fd` can be read: there is data, or the end of the stream.
pub fn readable(fd: &impl AsFd) -> Ready<'_> {
    Ready::new(fd.as_fd(), Direction::Read)
}

/// Returns an arm that is ready when `fd` can be written to, or has failed.
pub fn writable(fd: &impl AsFd) -> Ready<'_> {
    Ready::new(fd.as_fd(), Direction::Write)
}

/// The arm returned by [`readable`] and [`writable`].
pub struct Ready<'a> {
    fd: BorrowedFd<'a>,
    direction: Direction,
    /// The waiter while the arm is registered, or the error if it could not be created.
    waiter: RefCell<Option<io::Result<ReadinessWaiter>>>,
}

impl<'a> Ready<'a> {
    fn new(fd: BorrowedFd<'a>, direction: Direction) -> Self {
        Self {
            fd,
            direction,
            waiter: RefCell::new(None),
        }
    }
}

impl SelectHandle for Ready<'_> {
    unsafe fn register(&self, _: SelectToken) -> bool {
        // The waiter only wakes the green thread. Whether the descriptor is ready is checked when
        // all arms are tried again.
        let waiter = ReadinessWaiter::new(self.fd, self.direction);
        let waiter = waiter.inspect(ReadinessWaiter::queue);
        let is_registered = waiter.is_ok();
        self.waiter.replace(Some(waiter));
        is_registered
    }

    fn unregister(&self) {
        let waiter = self.waiter.take();
        if let Some(Err(error)) = waiter {
            self.waiter.replace(Some(Err(error)));
        }
    }
}

impl Arm for Ready<'_> {
    type Output = io::Result<()>;

    fn try_select(&self) -> Option<io::Result<()>> {
        if let Some(Err(error)) = self.waiter.take() {
            return Some(Err(error));
        }
        crate::io::is_ready(self.fd, self.direction)
            .map(|ready| ready.then_some(()))
            .transpose()
    }
}

impl fmt::Debug for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}
