//! The reactor: which descriptors are ready, and which green threads wait for them.
//!
//! A descriptor is registered once, edge-triggered, for both directions. The readiness that the
//! kernel reports is cached in its [`Source`] until an operation finds it used up. The reactor does
//! not wake green threads itself. It returns those that the scheduler is to wake.

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
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

pub use source::Direction;
pub(crate) use source::{Readiness, Source};

use crate::fork;
use crate::green::{GreenRef, SchedulerHandle};
use crate::primitive::lock;
use crate::unhooked::unhooked;

/// The maximum number of events that one poll reports. The next poll reports the rest.
///
/// The number is small, so that the memory touched to wake a green thread is still in the cache
/// when the green thread runs. With 1,000 busy connections, an echo costs a few percent less than
/// with 1024.
pub(crate) const MAX_EVENTS: usize = 64;

/// A readiness event of the kernel.
#[derive(Clone, Copy, Debug)]
struct Event {
    key: usize,
    readable: bool,
    writable: bool,
    /// The event may stand for more than data: for the end of the stream or an error. Then a short
    /// read or write does not show that nothing else is left.
    may_hide_more: bool,
}

/// Whether urgent data counts as readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgent {
    Reported,
    Ignored,
}

/// The number of bits of a key that hold the index into the table. The others hold a generation, so
/// that an event for a descriptor that has been closed is not taken for one of its successor.
const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// The generation has one bit less than is available, because `usize::MAX` is the poller's own key.
const GENERATION_MASK: usize = usize::MAX >> (INDEX_BITS + 1);

/// The registered descriptors, by index.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    /// The indices of the free slots.
    free: Vec<usize>,
    /// For each descriptor, one more than the index of its slot; zero if it has none.
    by_fd: Vec<usize>,
}

impl Table {
    /// Returns the source of a descriptor, if there is one.
    fn source_of(&self, fd: RawFd) -> Option<&Arc<Source>> {
        let entry = self.by_fd.get(usize::try_from(fd).ok()?)?;
        self.slots[entry.checked_sub(1)?].source.as_ref()
    }

    fn set_index_of(&mut self, fd: RawFd, index: Option<usize>) {
        let fd = usize::try_from(fd).expect("an open descriptor is not negative");
        if self.by_fd.len() <= fd {
            self.by_fd.resize(fd + 1, 0);
        }
        self.by_fd[fd] = index.map_or(0, |index| index + 1);
    }

    /// Frees the slot of a source, unless that has happened already.
    fn free_slot(&mut self, key: usize) -> Option<Arc<Source>> {
        let index = key & INDEX_MASK;
        let slot = &mut self.slots[index];
        let source = slot.source.take_if(|source| source.key() == key)?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(index);
        self.set_index_of(source.fd(), None);
        Some(source)
    }

    /// Whether the source has a slot.
    fn contains(&self, key: usize) -> bool {
        let source = self.slots[key & INDEX_MASK].source.as_ref();
        source.is_some_and(|source| source.key() == key)
    }
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
    /// The number of green threads that wait for a descriptor.
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

    /// Returns the number of green threads that wait for a descriptor.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// Adds a waiter to the count (`1`), or removes one (`-1`).
    #[inline]
    pub(crate) fn adjust_waiting(&self, change: isize) {
        self.waiting
            .set(self.waiting.get().wrapping_add_signed(change));
    }

    /// Registers a descriptor. It must be deregistered before it is closed.
    ///
    /// A descriptor has one source in each reactor, which its registrations share. The readiness at
    /// the time of the registration is reported like an event, even if the source is shared.
    ///
    /// # Errors
    ///
    /// Returns the error of the system if there is no memory, or if the descriptor cannot be polled.
    pub(crate) fn register(&self, fd: BorrowedFd<'_>) -> io::Result<Arc<Source>> {
        self.register_with(fd, Urgent::Reported)
    }

    /// Registers a duplicate of a descriptor, for a wait that is followed by an ordinary operation.
    /// Urgent data does not end it, because such an operation would not find it.
    ///
    /// # Errors
    ///
    /// Returns an error as [`register`](Self::register) does.
    pub(crate) fn register_duplicate(&self, fd: BorrowedFd<'_>) -> io::Result<Arc<Source>> {
        self.register_with(fd, Urgent::Ignored)
    }

    fn register_with(&self, fd: BorrowedFd<'_>, urgent: Urgent) -> io::Result<Arc<Source>> {
        // An allocator must not park here, because the table is borrowed.
        unhooked(|| self.register_now(fd, urgent))
    }

    fn register_now(&self, fd: BorrowedFd<'_>, urgent: Urgent) -> io::Result<Arc<Source>> {
        // The lock is held until the end, so that another OS thread cannot end the last registration
        // of a source meanwhile.
        let mut deregistered_remotely = lock(&self.owner.deregistered_remotely);
        let mut table = self.table.borrow_mut();
        for key in deregistered_remotely.drain(..) {
            table.free_slot(key);
        }
        if let Some(source) = table.source_of(fd.as_raw_fd()).map(Arc::clone) {
            match backend::modify(&self.owner.poller, fd, source.key()) {
                Ok(()) => {
                    source.add_user();
                    return Ok(source);
                }
                // The descriptor was closed without having been deregistered, because its `Green`
                // was leaked. This is another one of the same number.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    table.free_slot(source.key());
                }
                Err(error) => return Err(error),
            }
        }
        let index = table.free.pop().unwrap_or_else(|| {
            table.slots.push(Slot::default());
            table.slots.len() - 1
        });
        let key = (table.slots[index].generation << INDEX_BITS) | index;
        match backend::add(&self.owner.poller, fd, key, urgent) {
            Ok(()) => {
                let source = Arc::new(Source::new(fd, key, Arc::clone(&self.owner)));
                table.slots[index].source = Some(Arc::clone(&source));
                table.set_index_of(fd.as_raw_fd(), Some(index));
                Ok(source)
            }
            Err(error) => {
                table.free.push(index);
                Err(error)
            }
        }
    }

    /// Ends a registration of this reactor. Events that are still to be delivered after the last one
    /// are ignored.
    pub(crate) fn deregister(&self, source: &Source) {
        // In a child, an OS thread that does not exist there may have held the lock.
        if fork::is_child() {
            return;
        }
        // As in `register_with`.
        unhooked(|| {
            let lock = lock(&self.owner.deregistered_remotely);
            let mut table = self.table.borrow_mut();
            if source.remove_user() && table.contains(source.key()) {
                source.remove_from_poller();
                table.free_slot(source.key());
            }
            drop(lock);
        });
    }

    /// Waits for events, and appends the green threads that are to be woken to `due`. Returns
    /// `true` if there may be more events.
    ///
    /// It waits for at most `timeout`, or forever if that is `None`. It returns early if another OS
    /// thread notifies the poller.
    ///
    /// # Errors
    ///
    /// Returns the error of the system. An interruption by a signal is not an error.
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
            if source.wakes_all() {
                let directions = [
                    (event.readable, Direction::Read),
                    (event.writable, Direction::Write),
                ];
                for (_, direction) in directions.into_iter().filter(|(is_ready, _)| *is_ready) {
                    due.extend(std::iter::from_fn(|| source.pop_waiter(direction)));
                }
            }
        }
        Ok(events.is_full())
    }

    /// Returns the largest number of descriptors that have been registered at the same time.
    pub(crate) fn slot_count(&self) -> usize {
        self.table.borrow().slots.len()
    }
}

/// Ends a registration of `source`, on an OS thread other than that of its reactor.
pub(crate) fn deregister_remotely(source: &Source) {
    let owner = source.owner();
    // In a child, an OS thread that does not exist there may have held the lock.
    if fork::is_child() {
        return;
    }
    let mut deregistered_remotely = lock(&owner.deregistered_remotely);
    if source.remove_user() {
        source.remove_from_poller();
        if !owner.mailbox.is_closed() {
            deregistered_remotely.push(source.key());
        }
    }
}

/// Borrows the raw descriptor of a source that is registered.
fn borrow(fd: &RawFd) -> BorrowedFd<'_> {
    // SAFETY: a source is deregistered before its descriptor is closed (`Reactor::register`), and
    // only a source that is still registered calls this.
    unsafe { BorrowedFd::borrow_raw(*fd) }
}
