//! Arms that are ready when a descriptor is.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::arms::{Arm, Waits};
use crate::io::{Direction, Watch};
use crate::thread::Ticket;

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
    watch: RefCell<Option<io::Result<Watch>>>,
}

impl<'a> Ready<'a> {
    fn new(fd: BorrowedFd<'a>, direction: Direction) -> Self {
        Self {
            fd,
            direction,
            watch: RefCell::new(None),
        }
    }
}

impl Waits for Ready<'_> {
    unsafe fn enter(&self, _: Ticket) -> bool {
        // Its news only wakes: what the descriptor says then is asked when all is tried again.
        let watch = Watch::new(self.fd, self.direction);
        let watches = watch.is_ok();
        self.watch.replace(Some(watch));
        watches
    }

    fn leave(&self) {
        let watch = self.watch.take();
        if let Some(Err(error)) = watch {
            self.watch.replace(Some(Err(error)));
        }
    }
}

impl Arm for Ready<'_> {
    type Output = io::Result<()>;

    fn attempt(&self) -> Option<io::Result<()>> {
        if let Some(Err(error)) = self.watch.take() {
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
