//! The reactor: which descriptors are ready, and who waits for them.
//!
//! A descriptor is registered once, edge-triggered, for both directions; what the kernel reports is
//! remembered in its [`Source`] until an operation finds it used up. The reactor wakes nobody: it
//! returns who is due.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable;
mod source;

#[cfg(any(target_os = "linux", target_os = "android"))]
use epoll as backend;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use portable as backend;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

pub use source::Direction;
pub(crate) use source::{Readiness, Source};

use crate::green::GreenRef;
use crate::green::SchedulerHandle;
use crate::primitive::lock;

/// The most that one round reports; the rest is reported by the next. So few that what is touched to
/// wake somebody is still in the cache when it runs: with 1 000 connections busy, an echo costs some
/// hundredths less than with 1024.
pub(crate) const MAX_EVENTS: usize = 64;

/// Readiness as the kernel reports it.
#[derive(Clone, Copy, Debug)]
struct Event {
    key: usize,
    readable: bool,
    writable: bool,
    /// More than data may have been reported, an end or an error: the next short read or write says
    /// nothing about what else is there.
    may_hide_more: bool,
}

/// Keys are a place in the table and a generation, so that an event for a descriptor which was
/// closed meanwhile is not taken for one of its successor.
const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// One bit less than there is: `usize::MAX` is the poller's own key.
const GENERATION_MASK: usize = usize::MAX >> (INDEX_BITS + 1);

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: usize,
    source: Option<Arc<Source>>,
}

/// The descriptors of one scheduler.
#[derive(Debug)]
pub(crate) struct Reactor {
    owner: Arc<SchedulerHandle>,
    table: RefCell<Table>,
    events: RefCell<backend::Events>,
    /// Green threads parked on a descriptor.
    waiting: Cell<usize>,
}

impl Reactor {
    pub(crate) fn new(owner: Arc<SchedulerHandle>) -> Self {
        Self {
            owner,
            table: RefCell::default(),
            events: RefCell::new(backend::Events::new()),
            waiting: Cell::new(0),
        }
    }

    /// How many green threads wait for a descriptor.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// Counts a waiter in (`1`) or out (`-1`).
    #[inline]
    pub(crate) fn count(&self, change: isize) {
        self.waiting
            .set(self.waiting.get().wrapping_add_signed(change));
    }

    /// Registers a descriptor, which must be deregistered before it is closed.
    ///
    /// # Errors
    ///
    /// The system's: no memory, a descriptor that cannot be polled, one registered already.
    pub(crate) fn register(&self, fd: BorrowedFd<'_>) -> io::Result<Arc<Source>> {
        self.release_remote_deregistrations();
        let mut table = self.table.borrow_mut();
        let index = table.free.pop().unwrap_or_else(|| {
            table.slots.push(Slot::default());
            table.slots.len() - 1
        });
        let key = (table.slots[index].generation << INDEX_BITS) | index;
        match backend::add(&self.owner.poller, fd, key) {
            Ok(()) => {
                let source = Arc::new(Source::new(fd, key, Arc::clone(&self.owner)));
                table.slots[index].source = Some(Arc::clone(&source));
                Ok(source)
            }
            Err(error) => {
                table.free.push(index);
                Err(error)
            }
        }
    }

    /// Ends a registration of this reactor. Events that are under way are ignored from here on.
    pub(crate) fn deregister(&self, source: &Source) {
        source.remove_from_poller();
        self.forget(source.key());
    }

    fn forget(&self, key: usize) {
        let mut table = self.table.borrow_mut();
        let index = key & INDEX_MASK;
        let slot = &mut table.slots[index];
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        let source = slot.source.take();
        table.free.push(index);
        drop(table);
        drop(source);
    }

    /// Forgets what was deregistered on other OS threads.
    fn release_remote_deregistrations(&self) {
        let deregistered_remotely = std::mem::take(&mut *lock(&self.owner.deregistered_remotely));
        for key in deregistered_remotely {
            self.forget(key);
        }
    }

    /// Waits for events, at most `timeout` (`None`: for ever), and adds to `due` who has waited for
    /// them. Returns early when another OS thread notifies. `true`: there may be more.
    ///
    /// # Errors
    ///
    /// The system's; an interruption by a signal is none.
    pub(crate) fn poll(
        &self,
        timeout: Option<Duration>,
        due: &mut Vec<GreenRef>,
    ) -> io::Result<bool> {
        let mut events = self.events.borrow_mut();
        events.wait(&self.owner.poller, timeout)?;
        let table = self.table.borrow();
        for event in events.iter() {
            let Some(slot) = table.slots.get(event.key & INDEX_MASK) else {
                continue;
            };
            let Some(source) = &slot.source else { continue };
            if source.key() != event.key {
                continue;
            }
            if event.readable {
                due.extend(source.set_ready(Direction::Read, event.may_hide_more));
            }
            if event.writable {
                due.extend(source.set_ready(Direction::Write, event.may_hide_more));
            }
        }
        Ok(events.is_full())
    }

    /// How many descriptors have ever been registered at the same time.
    pub(crate) fn slot_count(&self) -> usize {
        self.table.borrow().slots.len()
    }
}

/// Deregisters `source` from an OS thread that is not its reactor's.
pub(crate) fn deregister_from_outside(source: &Source) {
    source.remove_from_poller();
    let owner = source.owner();
    if !owner.mailbox.is_closed() {
        lock(&owner.deregistered_remotely).push(source.key());
    }
}

/// A raw descriptor that its registration vouches for.
fn borrow(fd: &RawFd) -> BorrowedFd<'_> {
    // SAFETY: a source is deregistered before its descriptor is closed (`Reactor::register`), and
    // only a registered source asks.
    unsafe { BorrowedFd::borrow_raw(*fd) }
}
