//! A registered descriptor: what is known of its readiness, and who waits for it.
//!
//! # Readiness
//!
//! | state               | meaning                        | a short read or write | would block |
//! | ------------------- | ------------------------------ | --------------------- | ----------- |
//! | `NotReady`             | wait for an event              | -                     | -           |
//! | `Ready`                | the last event said so         | -> `NotReady`               | -> `NotReady`     |
//! | `ReadyUntilWouldBlock` | so, or an end or error besides | stays                 | -> `NotReady`     |
//!
//! A read that fills less than its buffer has taken everything that the event stood for; whatever
//! comes later makes a new event. This saves the call that would only say "would block". It does
//! not hold where the event also stood for the peer's end: that comes once, and must still be read.
//!
//! `[owner-thread]` The two sides are touched only on the OS thread of the reactor that the source
//! is registered with. Everything else is immutable.

use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::green::GreenRef;
use crate::green::SchedulerHandle;
use crate::list::{List, Node};

/// Which half of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// Data to read, a connection to accept, an end of the stream.
    Read,
    /// Room to write, an established connection.
    Write,
}

/// See the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    NotReady,
    Ready,
    ReadyUntilWouldBlock,
}

#[derive(Debug)]
struct DirectionState {
    readiness: Cell<Readiness>,
    waiters: List<GreenRef>,
    /// Was popped last, and has not run since: it forgets itself in [`Source::unregister_waiter`] ([live-ref]).
    last_woken: Cell<Option<GreenRef>>,
}

impl DirectionState {
    /// A new registration knows nothing; the kernel reports what is ready at once.
    const fn new() -> Self {
        Self {
            readiness: Cell::new(Readiness::NotReady),
            waiters: List::new(),
            last_woken: Cell::new(None),
        }
    }
}

/// A registration.
#[derive(Debug)]
pub(crate) struct Source {
    fd: RawFd,
    key: usize,
    owner: Arc<SchedulerHandle>,
    read: DirectionState,
    write: DirectionState,
}

// SAFETY: what is not `Send` and `Sync` by itself, the two sides, is touched on one OS thread only:
// each method that does says so, and its callers keep it ([owner-thread]).
unsafe impl Send for Source {}
// SAFETY: as above.
unsafe impl Sync for Source {}

impl Source {
    pub(super) fn new(fd: BorrowedFd<'_>, key: usize, owner: Arc<SchedulerHandle>) -> Self {
        Self {
            fd: fd.as_raw_fd(),
            key,
            owner,
            read: DirectionState::new(),
            write: DirectionState::new(),
        }
    }

    /// Its number, for messages.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(super) fn key(&self) -> usize {
        self.key
    }

    /// Tells whose it is: the sides may be touched where this is the scheduler's own owner.
    #[inline]
    pub(crate) fn owner(&self) -> &Arc<SchedulerHandle> {
        &self.owner
    }

    fn side(&self, direction: Direction) -> &DirectionState {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// What is known. `[owner-thread]`
    #[inline]
    pub(crate) fn readiness(&self, direction: Direction) -> Readiness {
        self.side(direction).readiness.get()
    }

    /// Takes note of what an operation has found. `[owner-thread]`
    #[inline]
    pub(crate) fn set_readiness(&self, direction: Direction, readiness: Readiness) {
        self.side(direction).readiness.set(readiness);
    }

    /// An event has come: who is due by it? One of those who wait; it passes on what it leaves.
    pub(super) fn set_ready(&self, direction: Direction, may_hide_more: bool) -> Option<GreenRef> {
        let ready = if may_hide_more {
            Readiness::ReadyUntilWouldBlock
        } else {
            Readiness::Ready
        };
        self.set_readiness(direction, ready);
        self.pop_waiter(direction)
    }

    /// Whoever has waited longest, no longer linked. `[owner-thread]`
    pub(crate) fn pop_waiter(&self, direction: Direction) -> Option<GreenRef> {
        let side = self.side(direction);
        let node = side.waiters.pop_front()?;
        // SAFETY: it was linked a moment ago, so it is valid ([linked-is-pinned]).
        side.last_woken.set(Some(unsafe { node.as_ref() }.value));
        side.last_woken.get()
    }

    /// Who waits, or was woken and will look when it runs. `[owner-thread]`
    #[inline]
    pub(crate) fn waiter(&self, direction: Direction) -> Option<GreenRef> {
        let side = self.side(direction);
        match side.waiters.front() {
            // SAFETY: it is linked, so it is valid ([linked-is-pinned]).
            Some(node) => Some(unsafe { node.as_ref() }.value),
            None => side.last_woken.get(),
        }
    }

    /// Queues a waiter, behind or before all others. `[owner-thread]`
    ///
    /// # Safety
    ///
    /// `node` is valid, not linked, and is unlinked by [`Self::unregister_waiter`] before it moves or dies.
    #[inline]
    pub(crate) unsafe fn register_waiter(
        &self,
        direction: Direction,
        node: NonNull<Node<GreenRef>>,
        in_front: bool,
    ) {
        let waiters = &self.side(direction).waiters;
        if in_front {
            // SAFETY: passed on to the caller.
            unsafe { waiters.push_front(node) };
        } else {
            // SAFETY: passed on to the caller.
            unsafe { waiters.push_back(node) };
        }
    }

    /// Takes a waiter out, if it still is in; its wait is over. `[owner-thread]`
    ///
    /// # Safety
    ///
    /// `node` was given to [`Self::register_waiter`] of this source and direction.
    #[inline]
    pub(crate) unsafe fn unregister_waiter(
        &self,
        direction: Direction,
        node: NonNull<Node<GreenRef>>,
    ) {
        let side = self.side(direction);
        side.last_woken.set(None);
        // SAFETY: passed on to the caller.
        unsafe { side.waiters.remove(node) };
    }

    /// Has the kernel forget it.
    pub(super) fn remove_from_poller(&self) {
        // A failure would mean that the descriptor is closed already, and then it is forgotten.
        drop(self.owner.poller.delete(super::borrow(&self.fd)));
    }
}
