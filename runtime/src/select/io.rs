//! Arms that are ready when a descriptor is.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::arms::{Arm, SelectHandle};
use crate::io::{Direction, ReadinessWaiter};
use crate::thread::SelectToken;

/// Ready when there is something to read from `fd`, an end included.
pub fn readable(fd: &impl AsFd) -> Ready<'_> {
    Ready::new(fd.as_fd(), Direction::Read)
}

/// Ready when there is room to write to `fd`, or an error to be told.
pub fn writable(fd: &impl AsFd) -> Ready<'_> {
    Ready::new(fd.as_fd(), Direction::Write)
}

/// See [`readable`] and [`writable`].
pub struct Ready<'a> {
    fd: BorrowedFd<'a>,
    direction: Direction,
    /// While it waits, or why it could not.
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
        // Its news only wakes: what the descriptor says then is asked when all is tried again.
        let waiter = ReadinessWaiter::new(self.fd, self.direction);
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
