//! A look-out for readiness that only wakes: for waits for more than one thing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::green::GreenRef;
use crate::list::Node;
use crate::reactor::{Direction, Source};
use crate::sched;

/// Unparks the green thread that has made it, once, when the descriptor has become ready, also if it
/// is already.
#[derive(Debug)]
pub(crate) struct ReadinessWaiter {
    /// A registration of its own is told at once if there is something already, whatever others
    /// remember of what they have read.
    own: OwnedFd,
    source: Arc<Source>,
    direction: Direction,
    node: Box<Node<GreenRef>>,
}

impl ReadinessWaiter {
    /// # Errors
    ///
    /// The system's: no descriptor left, one that cannot be polled.
    pub(crate) fn new(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<Self> {
        let scheduler = sched::try_current()?;
        let own = rustix::io::fcntl_dupfd_cloexec(fd, 0)?;
        let source = scheduler.reactor.register(own.as_fd())?;
        let node = Box::new(Node::new(scheduler.running()));
        // SAFETY: boxed, and taken out in `drop`. One that is leaked stays where it is; it is part of
        // a wait that does not end then, so its green thread lives.
        unsafe { source.register_waiter(direction, NonNull::from(&*node), false) };
        scheduler.reactor.count(1);
        Ok(Self {
            own,
            source,
            direction,
            node,
        })
    }
}

impl Drop for ReadinessWaiter {
    fn drop(&mut self) {
        let scheduler = sched::current();
        // SAFETY: entered there in `new`.
        unsafe {
            self.source
                .unregister_waiter(self.direction, NonNull::from(&*self.node));
        }
        scheduler.reactor.count(-1);
        scheduler.reactor.deregister(&self.source);
        // Deregistered, so it may be closed: `own` is dropped after this.
        let _: &OwnedFd = &self.own;
    }
}

/// Whether `fd` is ready now.
///
/// # Errors
///
/// The system's.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    let wanted = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    let at_once = Timespec::try_from(Duration::ZERO).expect("zero is a time");
    loop {
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, wanted)], Some(&at_once)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
