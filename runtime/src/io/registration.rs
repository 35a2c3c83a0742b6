//! Try, park, try again: the one loop behind every operation on a descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::green::{GreenRef, WaitReason, Wake};
use crate::list::Node;
use crate::reactor::{Direction, Readiness, Source, deregister_from_outside};
use crate::sched::{self, Scheduler};
use crate::thread;

/// Who may wait at the same time in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One: bytes of a stream that two read would go to either. The second gets an error.
    Exclusive,
    /// Many, first come first served: each accepted connection or datagram is a thing of its own.
    Shared,
}

/// How long an operation may park.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// As long as it takes.
    Never,
    /// Until a moment; then the operation says `TimedOut`.
    At(Instant),
    /// For a duration, counted from when it first has to wait.
    After(Duration),
    /// Not at all: the operation says `WouldBlock`.
    NonBlocking,
}

impl Timeout {
    /// Starts the clock: when to give up (`None`: never).
    #[inline]
    fn deadline(&mut self, scheduler: &Scheduler) -> io::Result<Option<Instant>> {
        if let Self::After(duration) = *self {
            *self = scheduler
                .clock
                .deadline_after(duration)
                .map_or(Self::Never, Self::At);
        }
        match *self {
            Self::At(deadline) => Ok(Some(deadline)),
            Self::Never | Self::After(_) => Ok(None),
            Self::NonBlocking => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// A descriptor's registration with the reactor of the OS thread that waited for it first, its
/// *home*. There readiness is remembered. A wait on another OS thread registers for itself.
#[derive(Debug, Default)]
pub(super) struct Registration(OnceLock<Arc<Source>>);

impl Registration {
    /// Ends it. Must come before the descriptor is closed.
    pub(super) fn end(&mut self) {
        let Some(source) = self.0.take() else { return };
        match sched::if_current() {
            Some(scheduler) if is_own_reactor(scheduler, &source) => {
                scheduler.reactor.deregister(&source);
            }
            _ => deregister_from_outside(&source),
        }
    }

    /// Runs `op` until it does not say `WouldBlock`, and parks in between.
    ///
    /// `drained` tells of a success whether it took all there was, so that the next one would
    /// block.
    ///
    /// # Errors
    ///
    /// Those of `op`; `TimedOut` or `WouldBlock` when `timeout` ends; `ResourceBusy` if another green thread
    /// waits and `sharing` is exclusive; the reactor's.
    #[inline]
    pub(super) fn with_io<R>(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        sharing: Sharing,
        mut timeout: Timeout,
        mut op: impl FnMut() -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let scheduler = sched::try_current()?;
        // Who was first, and was woken in vain, is first again.
        let mut in_front = false;
        loop {
            // What is not registered here is tried at once.
            let own = self
                .0
                .get()
                .filter(|source| is_own_reactor(scheduler, source));
            if let Some(source) = own {
                check_not_busy(source, direction, sharing)?;
            }
            if own.is_none_or(|source| source.readiness(direction) != Readiness::NotReady) {
                match op() {
                    Ok(value) => {
                        if let Some(source) = own {
                            after_success(scheduler, source, direction, drained(&value));
                        }
                        if scheduler.consume_budget() {
                            thread::yield_scheduler(scheduler);
                        }
                        return Ok(value);
                    }
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => {
                            if let Some(source) = own {
                                source.set_readiness(direction, Readiness::NotReady);
                            }
                        }
                        io::ErrorKind::Interrupted => continue,
                        _ => return Err(error),
                    },
                }
            }
            let deadline = timeout.deadline(scheduler)?;
            match own {
                Some(source) => wait_at(scheduler, source, direction, in_front, deadline)?,
                None => self.register_and_wait(scheduler, fd, direction, in_front, deadline)?,
            }
            in_front = true;
        }
    }

    /// Parks until the descriptor is ready, or somebody who waited before has left something: the
    /// first time, and always where the home is elsewhere.
    ///
    /// # Errors
    ///
    /// `TimedOut`; the reactor's.
    fn register_and_wait(
        &self,
        scheduler: &Scheduler,
        fd: BorrowedFd<'_>,
        direction: Direction,
        in_front: bool,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        let source = match self.0.get() {
            Some(source) => source,
            None => {
                let new = scheduler.reactor.register(fd)?;
                let own = self.0.get_or_init(|| Arc::clone(&new));
                if !Arc::ptr_eq(own, &new) {
                    // Another OS thread was first.
                    scheduler.reactor.deregister(&new);
                }
                own
            }
        };
        if is_own_reactor(scheduler, source) {
            return wait_at(scheduler, source, direction, in_front, deadline);
        }
        let temporary = TemporaryRegistration {
            scheduler,
            source: scheduler.reactor.register(fd)?,
        };
        wait_at(scheduler, &temporary.source, direction, in_front, deadline)
    }

    /// Parks until the descriptor is ready by what is known, without an operation to try.
    ///
    /// # Errors
    ///
    /// `TimedOut`, `ResourceBusy`; the reactor's.
    pub(super) fn wait_ready(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        sharing: Sharing,
        mut timeout: Timeout,
    ) -> io::Result<()> {
        let scheduler = sched::try_current()?;
        if let Some(source) = self
            .0
            .get()
            .filter(|source| is_own_reactor(scheduler, source))
        {
            check_not_busy(source, direction, sharing)?;
        }
        // A registration of its own is told at once if there is something already, whatever the
        // home remembers of operations that others did.
        let own = rustix::io::fcntl_dupfd_cloexec(fd, 0)?;
        // Declared after the descriptor, so dropped before it.
        let temporary = TemporaryRegistration {
            scheduler,
            source: scheduler.reactor.register(own.as_fd())?,
        };
        wait_at(
            scheduler,
            &temporary.source,
            direction,
            false,
            timeout.deadline(scheduler)?,
        )
    }
}

/// A registration for one wait away from home.
struct TemporaryRegistration<'a> {
    scheduler: &'a Scheduler,
    source: Arc<Source>,
}

impl Drop for TemporaryRegistration<'_> {
    fn drop(&mut self) {
        self.scheduler.reactor.deregister(&self.source);
    }
}

#[inline]
fn is_own_reactor(scheduler: &Scheduler, source: &Source) -> bool {
    Arc::ptr_eq(&scheduler.inbox, source.inbox())
}

#[inline]
fn check_not_busy(source: &Source, direction: Direction, sharing: Sharing) -> io::Result<()> {
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
    let name = waiter.name().unwrap_or("without a name");
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!(
            "green thread #{} ({name}) is {doing} this stream already",
            waiter.id()
        ),
    )
}

#[inline]
fn after_success(scheduler: &Scheduler, source: &Source, direction: Direction, short: bool) {
    if short && source.readiness(direction) == Readiness::Ready {
        source.set_readiness(direction, Readiness::NotReady);
    } else {
        renotify(scheduler, source, direction);
    }
}

/// There may be more: whoever waits is to look.
#[inline]
fn renotify(scheduler: &Scheduler, source: &Source, direction: Direction) {
    if source.readiness(direction) != Readiness::NotReady
        && let Some(next) = source.pop_waiter(direction)
    {
        scheduler.unpark(next, Wake::Unparked);
    }
}

/// A place in the queue of a source.
struct WaitGuard<'a> {
    scheduler: &'a Scheduler,
    source: &'a Source,
    direction: Direction,
    node: &'a Node<GreenRef>,
}

impl WaitGuard<'_> {
    #[inline(always)]
    fn leave(&self) {
        // SAFETY: entered in this source and direction, or left already.
        unsafe {
            self.source
                .unregister_waiter(self.direction, NonNull::from(self.node));
        };
        self.scheduler.reactor.count(-1);
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let notified = !self.node.is_linked();
        self.leave();
        if notified {
            // It unwinds with the news: the next one is to have them.
            renotify(self.scheduler, self.source, self.direction);
        }
    }
}

fn wait_at(
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
    // SAFETY: the place below takes it out, whichever way this function is left.
    unsafe { source.register_waiter(direction, NonNull::from(&node), in_front) };
    scheduler.reactor.count(1);
    let guard = WaitGuard {
        scheduler,
        source,
        direction,
        node: &node,
    };
    loop {
        let wake = thread::wait_or_fail(scheduler, reason, deadline);
        if !node.is_linked() {
            // It goes on with the news.
            guard.leave();
            std::mem::forget(guard);
            return Ok(());
        }
        match wake {
            Wake::Unparked => {}
            Wake::TimedOut => return Err(timed_out()),
            Wake::Interrupted | Wake::Deadlocked => return Err(killed()),
        }
    }
}

#[cold]
fn timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the descriptor was not ready in time",
    )
}

/// Only where nothing can be thrown.
#[cold]
fn killed() -> io::Error {
    io::Error::other("this green thread was killed")
}
