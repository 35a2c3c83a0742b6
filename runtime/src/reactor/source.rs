//! `Source`: a registered descriptor, its readiness as far as it is known, and its waiters.
//!
//! # Readiness
//!
//! | state                  | meaning                      | short read or write | would block   |
//! | ---------------------- | ---------------------------- | ------------------- | ------------- |
//! | `NotReady`             | wait for an event            | -                   | -             |
//! | `Ready`                | ready by the last event      | -> `NotReady`       | -> `NotReady` |
//! | `ReadyUntilWouldBlock` | ready, maybe an end or error | stays               | -> `NotReady` |
//!
//! A short read, which fills less than its buffer, has taken everything that the event stood for.
//! Whatever arrives later causes a new event. The next read can therefore wait for that event at
//! once, which saves the system call that would only return "would block".
//!
//! This does not hold if the event also stood for the end of the stream, an error or urgent data,
//! because each of these causes one event only, and must still be read. It holds for few kinds of
//! descriptors in the first place; the caller of an operation decides that (`io::drained`).
//!
//! An event that arrives while an operation runs is never cleared: the operation began before it,
//! and may have found nothing.
//!
//! `[owner-thread]` The states of the two directions are touched only on the OS thread of the
//! reactor that the source is registered with. Everything else is immutable or atomic. The methods that touch
//! a state are marked with the name of this rule.

use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::panic::RefUnwindSafe;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fork;
use crate::green::{GreenRef, SchedulerHandle};
use crate::list::{List, Node};

/// The direction of an I/O operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// Reading: ready when there is data, a connection to accept, or the end of the stream.
    Read,
    /// Writing: ready when there is room to write, or when a connection is established.
    Write,
}

/// The readiness of one direction, as far as it is known (see the table above).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    NotReady,
    Ready,
    ReadyUntilWouldBlock,
}

/// The state of one direction.
#[derive(Debug)]
struct DirectionState {
    readiness: Cell<Readiness>,
    /// The number of events so far. An operation that finds nothing may clear the readiness only if
    /// no event has arrived since it began.
    events: Cell<u32>,
    waiters: List<GreenRef>,
    /// The waiter that was popped last and has not run since. It clears this field in
    /// [`Source::unregister_waiter`] ([live-ref]).
    last_woken: Cell<Option<GreenRef>>,
}

impl DirectionState {
    /// Creates the state of a new registration. Nothing is known of its readiness, but the kernel
    /// reports at once what is ready.
    const fn new() -> Self {
        Self {
            readiness: Cell::new(Readiness::NotReady),
            events: Cell::new(0),
            waiters: List::new(),
            last_woken: Cell::new(None),
        }
    }
}

/// The registration of a descriptor with a reactor.
#[derive(Debug)]
pub(crate) struct Source {
    fd: RawFd,
    key: usize,
    owner: Arc<SchedulerHandle>,
    /// The number of registrations that share the source (`Reactor::register`).
    users: AtomicUsize,
    /// An event wakes all waiters, and not only the longest. Only the owner touches it.
    wakes_all: Cell<bool>,
    read: DirectionState,
    write: DirectionState,
    /// The OS thread of the owner, to check `[owner-thread]`.
    #[cfg(debug_assertions)]
    os_thread: usize,
}

// SAFETY: only the states of the two directions are not `Send` and `Sync` by themselves. They are
// touched on one OS thread only: each method that does so is marked, and its callers keep the rule
// ([owner-thread]). `state`, through which all of them go, checks it in builds with debug
// assertions.
unsafe impl Send for Source {}
// SAFETY: as for `Send`.
unsafe impl Sync for Source {}
// No panic can leave a source in an inconsistent state, because no code of the program runs while it
// changes.
impl RefUnwindSafe for Source {}

impl Source {
    pub(super) fn new(fd: BorrowedFd<'_>, key: usize, owner: Arc<SchedulerHandle>) -> Self {
        Self {
            fd: fd.as_raw_fd(),
            key,
            owner,
            users: AtomicUsize::new(1),
            wakes_all: Cell::new(false),
            read: DirectionState::new(),
            write: DirectionState::new(),
            #[cfg(debug_assertions)]
            os_thread: os_thread(),
        }
    }

    /// Returns the number of the descriptor, for messages.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(super) fn key(&self) -> usize {
        self.key
    }

    /// Counts a registration. The caller holds the lock of the owner's remote deregistrations, and
    /// so does the caller of [`Self::remove_user`].
    pub(super) fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a registration out. Returns `true` if it was the last one.
    pub(super) fn remove_user(&self) -> bool {
        self.users.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Returns the handle of the scheduler that the source belongs to. Only that scheduler may
    /// touch the states of the two directions.
    #[inline]
    pub(crate) fn owner(&self) -> &Arc<SchedulerHandle> {
        &self.owner
    }

    /// Returns the state of one direction. `[owner-thread]`
    ///
    /// # Panics
    ///
    /// Panics on any other OS thread than the owner's, in builds with debug assertions.
    #[cfg_attr(debug_assertions, track_caller)]
    #[inline]
    fn state(&self, direction: Direction) -> &DirectionState {
        #[cfg(debug_assertions)]
        assert_eq!(
            os_thread(),
            self.os_thread,
            "a source was used on an OS thread that does not own it"
        );
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// Returns the cached readiness. `[owner-thread]`
    #[inline]
    pub(crate) fn readiness(&self, direction: Direction) -> Readiness {
        self.state(direction).readiness.get()
    }

    /// Whether an operation may succeed, as far as is known. `[owner-thread]`
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.readiness(direction) != Readiness::NotReady
    }

    /// Returns the number of events so far, to be given to [`Self::clear_readiness`].
    /// `[owner-thread]`
    #[inline]
    pub(crate) fn events(&self, direction: Direction) -> u32 {
        self.state(direction).events.get()
    }

    /// Clears the cached readiness, because an operation that began after `events` events has used
    /// it up. An event that has arrived since then stays. `[owner-thread]`
    #[inline]
    pub(crate) fn clear_readiness(&self, direction: Direction, events: u32) {
        let state = self.state(direction);
        if state.events.get() == events {
            state.readiness.set(Readiness::NotReady);
        }
    }

    /// Makes each event wake all waiters from now on. For waits of code that does not say whether it
    /// uses the readiness. `[owner-thread]`
    pub(crate) fn set_wakes_all(&self) {
        self.wakes_all.set(true);
    }

    /// Whether the next waiter is woken by the same event. `[owner-thread]`
    #[inline]
    pub(super) fn wakes_all(&self) -> bool {
        self.wakes_all.get()
    }

    /// Records an event, and removes and returns the longest waiter, if there is one. That waiter
    /// wakes the next one if it leaves readiness unused. `[owner-thread]`
    pub(super) fn set_ready(&self, direction: Direction, may_hide_more: bool) -> Option<GreenRef> {
        let ready = if may_hide_more {
            Readiness::ReadyUntilWouldBlock
        } else {
            Readiness::Ready
        };
        let state = self.state(direction);
        state.readiness.set(ready);
        state.events.set(state.events.get().wrapping_add(1));
        self.pop_waiter(direction)
    }

    /// Removes the longest waiter and returns it. `[owner-thread]`
    pub(crate) fn pop_waiter(&self, direction: Direction) -> Option<GreenRef> {
        let state = self.state(direction);
        let node = state.waiters.pop_front()?;
        // SAFETY: the node was linked until now, so it is valid ([linked-is-pinned]).
        state.last_woken.set(Some(unsafe { node.as_ref() }.value));
        state.last_woken.get()
    }

    /// Returns the longest waiter or, if there is none, the one that was woken and will try its
    /// operation when it runs. `[owner-thread]`
    #[inline]
    pub(crate) fn waiter(&self, direction: Direction) -> Option<GreenRef> {
        let state = self.state(direction);
        match state.waiters.front() {
            // SAFETY: the node is linked, so it is valid ([linked-is-pinned]).
            Some(node) => Some(unsafe { node.as_ref() }.value),
            None => state.last_woken.get(),
        }
    }

    /// Adds a waiter at the back of the queue, or at its front if `in_front` is true.
    /// `[owner-thread]`
    ///
    /// # Safety
    ///
    /// `node` is valid and not linked. It is unlinked by [`Self::unregister_waiter`] before it is
    /// moved or dropped.
    #[inline]
    pub(crate) unsafe fn register_waiter(
        &self,
        direction: Direction,
        node: NonNull<Node<GreenRef>>,
        in_front: bool,
    ) {
        let waiters = &self.state(direction).waiters;
        if in_front {
            // SAFETY: valid, not linked, and pinned while it is linked (caller).
            unsafe { waiters.push_front(node) };
        } else {
            // SAFETY: valid, not linked, and pinned while it is linked (caller).
            unsafe { waiters.push_back(node) };
        }
    }

    /// Ends a wait: removes the waiter if it is still queued. `[owner-thread]`
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
        let state = self.state(direction);
        state.last_woken.set(None);
        // SAFETY: valid, and linked in this list or not at all (caller).
        unsafe { state.waiters.remove(node) };
    }

    /// Removes the descriptor from the poller. Does nothing in a child that was created with `fork`,
    /// because the registration is that of the parent.
    pub(super) fn remove_from_poller(&self) {
        if fork::is_child() {
            return;
        }
        // A failure would mean that the descriptor is closed already, and then the kernel has
        // removed it.
        drop(self.owner.poller.delete(super::borrow(&self.fd)));
    }
}

/// Returns a number that identifies the calling OS thread. Unlike `std::thread::current`, it works
/// until the very end of the OS thread, and a pthread identity does not change it.
#[cfg(debug_assertions)]
fn os_thread() -> usize {
    // SAFETY: the functions have no preconditions.
    unsafe {
        #[cfg(target_os = "linux")]
        return libc::gettid() as usize;
        #[cfg(not(target_os = "linux"))]
        return libc::pthread_self() as usize;
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_source_that_another_os_thread_uses_is_found_in_a_debug_build() {
        let file = File::open("/dev/null").unwrap();
        let owner = Arc::new(SchedulerHandle::new().unwrap());
        let source = Source::new(file.as_fd(), 0, owner);
        assert_eq!(source.readiness(Direction::Read), Readiness::NotReady);
        let elsewhere = std::thread::scope(|scope| {
            let used = scope.spawn(|| source.readiness(Direction::Read));
            used.join()
        });
        let message = elsewhere.unwrap_err();
        let message = message.downcast_ref::<String>().unwrap();
        assert!(message.contains("does not own it"), "{message}");
    }
}
