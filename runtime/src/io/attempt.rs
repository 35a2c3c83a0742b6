//! Attempts to do what an operation asks for, and the wait between two attempts.
//!
//! A waiter that was woken and leaves without having taken anything wakes
//! the next one.

use std::io;
use std::mem;
use std::ptr::NonNull;
use std::time::Instant;

use super::timeout::Sharing;
use crate::green::{GreenRef, WaitReason, Wake};
use crate::list::Node;
use crate::reactor::{Direction, Readiness, Source};
use crate::sched::Scheduler;
use crate::thread;

/// Whether another green thread waits, or is about to try, and `sharing` forbids that.
pub(super) fn is_busy(source: &Source, direction: Direction, sharing: Sharing) -> bool {
    sharing == Sharing::Exclusive && source.waiter(direction).is_some()
}

/// Returns an error if another green thread waits, or is about to try, and `sharing` forbids that.
#[inline]
pub(super) fn check_not_busy(
    source: &Source,
    direction: Direction,
    sharing: Sharing,
) -> io::Result<()> {
    match source.waiter(direction) {
        Some(waiter) if sharing == Sharing::Exclusive => Err(busy(direction, waiter)),
        _ => Ok(()),
    }
}

#[cold]
fn busy(direction: Direction, waiter: GreenRef) -> io::Error {
    let doing = match direction {
        Direction::Read => "reading from",
        Direction::Write => "writing to",
    };
    let name = waiter.name().unwrap_or("unnamed");
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!(
            "green thread #{} ({name}) is already {doing} this descriptor",
            waiter.id()
        ),
    )
}

/// One call of the operation, where the readiness of the descriptor is known.
///
/// However the call ends, the next waiter is woken unless the readiness has been used up. That
/// includes an error and a panic: the caller has been woken, and leaves without having taken
/// anything.
pub(super) struct Attempt<'a> {
    scheduler: &'a Scheduler,
    source: &'a Source,
    direction: Direction,
    /// The number of events before the call.
    events: u32,
}

impl<'a> Attempt<'a> {
    #[inline]
    pub(super) fn new(scheduler: &'a Scheduler, source: &'a Source, direction: Direction) -> Self {
        Self {
            scheduler,
            source,
            direction,
            events: source.events(direction),
        }
    }

    /// Ends the call after a success.
    #[inline]
    pub(super) fn succeed(self, drained: bool) {
        if drained && self.source.readiness(self.direction) == Readiness::Ready {
            self.source.clear_readiness(self.direction, self.events);
        }
    }

    /// Ends the call after `WouldBlock`. Returns `false` if the descriptor has become ready
    /// meanwhile.
    #[inline]
    pub(super) fn find_nothing(self) -> bool {
        self.source.clear_readiness(self.direction, self.events);
        !self.source.is_ready(self.direction)
    }
}

impl Drop for Attempt<'_> {
    #[inline]
    fn drop(&mut self) {
        renotify(self.scheduler, self.source, self.direction);
    }
}

/// Wakes the next waiter, because there may be more to take.
#[inline]
pub(super) fn renotify(scheduler: &Scheduler, source: &Source, direction: Direction) {
    if source.is_ready(direction)
        && let Some(next) = source.pop_waiter(direction)
    {
        scheduler.unpark(next, Wake::Unparked);
    }
}

/// Parks until the source reports readiness in `direction`, or an earlier waiter passes it on.
///
/// # Errors
///
/// Returns `TimedOut` once `deadline` has passed.
pub(super) fn wait_at(
    scheduler: &Scheduler,
    source: &Source,
    direction: Direction,
    in_front: bool,
    deadline: Option<Instant>,
) -> io::Result<()> {
    let fd = source.fd();
    let reason = match direction {
        Direction::Read => WaitReason::Readable(fd),
        Direction::Write => WaitReason::Writable(fd),
    };
    let node = Node::new(scheduler.running());
    // SAFETY: the guard below unlinks the node, whichever way this function is left.
    unsafe { source.register_waiter(direction, NonNull::from(&node), in_front) };
    scheduler.reactor.adjust_waiting(1);
    let guard = WaitGuard {
        scheduler,
        source,
        direction,
        node: &node,
    };
    loop {
        let wake = thread::wait_or_fail(scheduler, reason, deadline);
        if !node.is_linked() {
            // Notified: this green thread continues, and tries the operation.
            guard.unlink();
            mem::forget(guard);
            return Ok(());
        }
        match wake {
            Wake::Unparked => {}
            Wake::TimedOut => return Err(timed_out()),
            Wake::Interrupted | Wake::Deadlocked => return Err(thread::interrupted_error()),
        }
    }
}

/// A waiter in the queue of a source. If it unwinds after it was notified, it notifies the next
/// one.
struct WaitGuard<'a> {
    scheduler: &'a Scheduler,
    source: &'a Source,
    direction: Direction,
    node: &'a Node<GreenRef>,
}

impl WaitGuard<'_> {
    #[inline(always)]
    fn unlink(&self) {
        // SAFETY: the node was linked at this source, in this direction, if anywhere.
        unsafe {
            self.source
                .unregister_waiter(self.direction, NonNull::from(self.node));
        };
        self.scheduler.reactor.adjust_waiting(-1);
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let notified = !self.node.is_linked();
        self.unlink();
        if notified {
            renotify(self.scheduler, self.source, self.direction);
        }
    }
}

#[cold]
pub(super) fn timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the descriptor was not ready in time",
    )
}
