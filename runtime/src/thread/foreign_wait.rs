//! Waits below frames of foreign code: of a C library, or of std.
//!
//! Nothing may unwind through such frames. So what would be thrown in an ordinary wait
//! ([`interrupt`](super::interrupt)) is returned, and stays pending.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

use super::unwinding::{self, panicking};
use crate::green::{GreenRef, WaitReason, Wake};
use crate::list::Node;
use crate::reactor::{Direction, Source};
use crate::sched::{self, Scheduler};
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

/// Descriptors that are registered for the waits of one foreign call.
///
/// The first wait ends at once if a descriptor is ready already. From then on, only a change ends
/// one. So a call that finds nothing to do does not wake in a loop, although the descriptor is ready
/// for something else, such as urgent data.
#[derive(Debug)]
pub(crate) struct Registered {
    /// The id of the green thread that waits.
    owner: u64,
    waiters: Vec<Waiter>,
}

/// A descriptor of a call, and its node in the queue of the source.
#[derive(Debug)]
struct Waiter {
    source: Arc<Source>,
    direction: Direction,
    node: Box<Node<GreenRef>>,
}

impl Registered {
    /// # Errors
    ///
    /// Returns the error of the system: that a descriptor is not open, or cannot be polled.
    pub(crate) fn new(scheduler: &Scheduler, wanted: &[(RawFd, Direction)]) -> io::Result<Self> {
        // An allocator must not park here, because it would use the reactor as well.
        unhooked(|| {
            let owner = scheduler.running().id();
            let waiters = Vec::with_capacity(wanted.len());
            let mut registered = Self { owner, waiters };
            for (fd, direction) in wanted {
                registered.add(scheduler, *fd, *direction)?;
            }
            Ok(registered)
        })
    }

    fn add(&mut self, scheduler: &Scheduler, fd: RawFd, direction: Direction) -> io::Result<()> {
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: it is not -1. The descriptor is only given to the poller. If it is not open, or
        // is closed while it is registered, the poller returns an error, or reports nothing more.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let source = scheduler.reactor.register(fd)?;
        source.set_wakes_all();
        self.waiters.push(Waiter {
            source,
            direction,
            node: Box::new(Node::new(scheduler.running())),
        });
        Ok(())
    }

    /// Parks until one of the descriptors may be ready. An event wakes all that wait for it, because
    /// nothing shows which of them uses the readiness.
    ///
    /// Does not park if another green thread runs than the one that has registered them. The nodes refer
    /// to that one, which may have ended.
    pub(crate) fn wait(
        &mut self,
        scheduler: &Scheduler,
        reason: WaitReason,
        deadline: Option<Instant>,
        interruption: Interruption,
    ) -> WaitEnd {
        if scheduler.running().id() != self.owner {
            return WaitEnd::Woken;
        }
        for waiter in &self.waiters {
            // SAFETY: the node is boxed, so it does not move, and it is unlinked below. The wait does
            // not unwind.
            unsafe {
                let node = NonNull::from(&*waiter.node);
                waiter.source.register_waiter(waiter.direction, node, false);
            }
        }
        let waiters = self.waiters.len().cast_signed();
        scheduler.reactor.adjust_waiting(waiters);
        let end = wait(scheduler, reason, deadline, interruption);
        scheduler.reactor.adjust_waiting(-waiters);
        for waiter in &self.waiters {
            // SAFETY: the node was linked above.
            unsafe {
                let node = NonNull::from(&*waiter.node);
                waiter.source.unregister_waiter(waiter.direction, node);
            }
        }
        end
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Without a scheduler, its reactor is gone too.
        let Some(scheduler) = sched::if_current() else {
            return;
        };
        for waiter in &self.waiters {
            scheduler.reactor.deregister(&waiter.source);
        }
    }
}
