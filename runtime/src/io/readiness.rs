//! `ReadinessWaiter`: wakes a green thread that waits for a descriptor and for other things
//! besides.
//!
//! It performs no operation on the descriptor.

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

/// Unparks the green thread that created it, once, when the descriptor is ready. A descriptor that
/// is ready from the start counts too.
#[derive(Debug)]
pub(crate) struct ReadinessWaiter {
    /// A duplicate of the descriptor, with a registration of its own. A new registration reports at
    /// once what is ready already, whatever readiness other registrations have cached.
    duplicate: OwnedFd,
    source: Arc<Source>,
    direction: Direction,
    node: Box<Node<GreenRef>>,
}

impl ReadinessWaiter {
    /// Registers the running green thread as a waiter for readiness in `direction`.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, if there are too many descriptors or `fd` cannot be polled.
    pub(crate) fn new(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<Self> {
        let scheduler = sched::try_current()?;
        let duplicate = rustix::io::fcntl_dupfd_cloexec(fd, 0)?;
        let source = scheduler.reactor.register_duplicate(duplicate.as_fd())?;
        let node = Box::new(Node::new(scheduler.running()));
        // SAFETY:
        // - The node is valid and does not move, because it is boxed.
        // - It is unregistered before it is freed, in `drop`.
        // - If the `ReadinessWaiter` is leaked, the node stays where it is. The wait that it
        //   belongs to does not end then, so its green thread lives.
        unsafe { source.register_waiter(direction, NonNull::from(&*node), false) };
        scheduler.reactor.adjust_waiting(1);
        Ok(Self {
            duplicate,
            source,
            direction,
            node,
        })
    }
}

impl Drop for ReadinessWaiter {
    fn drop(&mut self) {
        let scheduler = sched::current();
        // SAFETY: `new` has registered the node with this source, in this direction.
        unsafe {
            self.source
                .unregister_waiter(self.direction, NonNull::from(&*self.node));
        }
        scheduler.reactor.adjust_waiting(-1);
        scheduler.reactor.deregister(&self.source);
        // `duplicate` is closed after this function, with the other fields. It may be closed only
        // when it is no longer registered.
        let _: &OwnedFd = &self.duplicate;
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
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
