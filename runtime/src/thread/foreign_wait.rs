//! Waits below frames of foreign code: of a C library, or of std.
//!
//! Nothing may unwind through such frames. So what would be thrown in an ordinary wait
//! ([`interrupt`](super::interrupt)) is returned, and stays pending.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::time::Instant;

use super::unwinding::{self, panicking};
use crate::green::{GreenRef, WaitReason, Wake};
use crate::list::Node;
use crate::reactor::{Direction, Source};
use crate::sched::Scheduler;
use crate::unhooked::unhooked;

/// What has ended a wait that throws nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitEnd {
    /// Something has happened. What is waited for may be there, so the caller checks.
    Woken,
    /// The deadline of the wait has passed.
    TimedOut,
    /// An enclosing `timeout` has expired. It is thrown at the next parking point of evy.
    Elapsed,
    /// The green thread is being killed. The kill is thrown at the next parking point of evy.
    Killed,
    /// Nothing can ever end the wait.
    Deadlocked,
}

/// Whether a kill or an enclosing `timeout` ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interruption {
    /// It ends the wait.
    Ends,
    /// It waits until the wait has ended, because the caller cannot report it.
    Waits,
}

/// Parks the running green thread until it is unparked or `deadline` passes.
pub(crate) fn wait(
    scheduler: &Scheduler,
    reason: WaitReason,
    deadline: Option<Instant>,
    interruption: Interruption,
) -> WaitEnd {
    let me = scheduler.running();
    me.reason.set(reason);
    let is_interruptible = interruption == Interruption::Ends && !panicking();
    if !is_interruptible {
        me.shields.set(me.shields.get() + 1);
        let wake = park_until(scheduler, me, deadline);
        me.shields.set(me.shields.get() - 1);
        return match wake {
            Wake::TimedOut => WaitEnd::TimedOut,
            Wake::Deadlocked => WaitEnd::Deadlocked,
            Wake::Unparked | Wake::Interrupted => WaitEnd::Woken,
        };
    }
    if me.kill_due() {
        return WaitEnd::Killed;
    }
    let scope = me.scope_deadline();
    if scope.is_some_and(|scope| scope <= scheduler.last_now()) {
        return WaitEnd::Elapsed;
    }
    if scope.is_some() {
        scheduler.clock_read_requested.set(true);
    }
    let first = match (deadline, scope) {
        (Some(own), Some(scope)) => Some(own.min(scope)),
        (own, scope) => own.or(scope),
    };
    match park_until(scheduler, me, first) {
        Wake::Deadlocked => WaitEnd::Deadlocked,
        Wake::TimedOut if deadline != first => WaitEnd::Elapsed,
        Wake::TimedOut => WaitEnd::TimedOut,
        Wake::Unparked | Wake::Interrupted if me.kill_due() => WaitEnd::Killed,
        Wake::Unparked | Wake::Interrupted => WaitEnd::Woken,
    }
}

fn park_until(scheduler: &Scheduler, me: GreenRef, deadline: Option<Instant>) -> Wake {
    if let Some(deadline) = deadline {
        scheduler.timers.set(me, deadline);
    }
    unwinding::switch_while_unwinding(scheduler, || scheduler.park(me))
}

/// Parks until one of the descriptors may be ready. An event wakes all that wait for it, because
/// nothing shows which of them uses the readiness.
///
/// # Errors
///
/// Returns the error of the system: that a descriptor is not open, or cannot be polled.
pub(crate) fn wait_for_descriptors(
    scheduler: &Scheduler,
    wanted: &[(RawFd, Direction)],
    reason: WaitReason,
    deadline: Option<Instant>,
    interruption: Interruption,
) -> io::Result<WaitEnd> {
    // An event that came before a waiter is queued would be lost. So an allocator must not park here.
    let waiters = unhooked(|| {
        let waiters: Vec<Waiter<'_>> = wanted
            .iter()
            .map(|(fd, direction)| Waiter::new(scheduler, *fd, *direction))
            .collect::<io::Result<_>>()?;
        waiters.iter().for_each(Waiter::queue);
        io::Result::Ok(waiters)
    })?;
    let end = wait(scheduler, reason, deadline, interruption);
    drop(waiters);
    Ok(end)
}

/// The registration of a descriptor for one wait, and its place in the queue of the source.
struct Waiter<'a> {
    scheduler: &'a Scheduler,
    source: std::sync::Arc<Source>,
    direction: Direction,
    node: Box<Node<GreenRef>>,
}

impl<'a> Waiter<'a> {
    fn new(scheduler: &'a Scheduler, fd: RawFd, direction: Direction) -> io::Result<Self> {
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: it is not -1. The descriptor is only given to the poller. If it is not open, or is closed while the
        // wait lasts, the poller returns an error, or reports nothing more.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let source = scheduler.reactor.register(fd)?;
        source.set_wakes_all();
        scheduler.reactor.adjust_waiting(1);
        Ok(Self {
            scheduler,
            source,
            direction,
            node: Box::new(Node::new(scheduler.running())),
        })
    }

    fn queue(&self) {
        // SAFETY: the node is boxed, so it does not move, and `drop` unlinks it. The vector of waiters
        // lies in the frame of a wait, which is not left before that.
        unsafe {
            self.source
                .register_waiter(self.direction, NonNull::from(&*self.node), false);
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // SAFETY: the node is that of `queue`, or was never linked.
        unsafe {
            self.source
                .unregister_waiter(self.direction, NonNull::from(&*self.node));
        }
        self.scheduler.reactor.adjust_waiting(-1);
        self.scheduler.reactor.deregister(&self.source);
    }
}
