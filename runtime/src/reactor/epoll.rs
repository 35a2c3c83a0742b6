//! The backend for Linux and Android, which uses epoll on the poller's descriptor directly.
//!
//! `polling::Poller::wait` makes three system calls, or five with a timeout, because it re-arms its
//! notifier and a timer descriptor each time. Here a poll is usually one `epoll_wait`. `polling` is
//! called only if the notifier has fired, to clear it.
//!
//! Descriptors are registered here as well, because `polling` does not ask for `EPOLLRDHUP`.
//! Without that flag, an event for the last data and the end of the stream cannot be distinguished
//! from one for data alone.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use polling::Poller;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::{Event, MAX_EVENTS};

/// The key that `polling` gives to its notifier.
const NOTIFIER: u64 = usize::MAX as u64;

pub(super) fn add(poller: &Poller, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
    let data = epoll::EventData::new_u64(key as u64);
    Ok(epoll::add(poller, fd, data, flags())?)
}

/// Registers a descriptor once more, so that its readiness is reported again.
///
/// # Errors
///
/// Returns `NotFound` if the descriptor is not registered.
pub(super) fn modify(poller: &Poller, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
    let data = epoll::EventData::new_u64(key as u64);
    Ok(epoll::modify(poller, fd, data, flags())?)
}

/// Both directions, edge-triggered.
fn flags() -> epoll::EventFlags {
    use epoll::EventFlags as E;
    E::IN | E::OUT | E::RDHUP | E::PRI | E::ET
}

/// The events that the last poll has reported.
pub(super) struct Events {
    raw: Vec<epoll::Event>,
    /// The events that `polling` reports when it clears the notifier.
    cleared: polling::Events,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("len", &self.raw.len())
            .finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            raw: Vec::with_capacity(MAX_EVENTS),
            cleared: polling::Events::new(),
        }
    }

    pub(super) fn wait(&mut self, poller: &Poller, timeout: Option<Duration>) -> io::Result<()> {
        self.raw.clear();
        self.cleared.clear();
        match wait_for(poller, &mut self.raw, timeout) {
            Ok(()) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        if self.raw.iter().any(|event| event.data.u64() == NOTIFIER) {
            poller.wait(&mut self.cleared, Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Whether the last poll has reported as many events as it can, so there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.raw.len() >= MAX_EVENTS
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Event> {
        let raw = self
            .raw
            .iter()
            .filter(|event| event.data.u64() != NOTIFIER)
            .map(|event| {
                use epoll::EventFlags as E;
                let flags = event.flags;
                let closed_or_failed = flags.intersects(E::RDHUP | E::HUP | E::ERR);
                Event {
                    key: event.data.u64() as usize,
                    readable: closed_or_failed || flags.intersects(E::IN | E::PRI),
                    writable: flags.intersects(E::OUT | E::HUP | E::ERR),
                    // A read stops at urgent data, even if there is more behind.
                    may_hide_more: closed_or_failed || flags.contains(E::PRI),
                }
            });
        raw.chain(self.cleared.iter().map(|event| Event {
            key: event.key,
            readable: event.readable,
            writable: event.writable,
            may_hide_more: true,
        }))
    }
}

fn wait_for(
    poller: &Poller,
    events: &mut Vec<epoll::Event>,
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    let exact = timeout.map(timespec);
    match epoll::wait(poller, spare_capacity(events), exact.as_ref()) {
        // A timeout with fractions of a millisecond needs Linux 5.11. Older kernels wait a little
        // longer instead, never shorter.
        Err(Errno::NOSYS) => {
            let rounded = timeout.map(|timeout| {
                let millis = timeout.as_nanos().div_ceil(1_000_000);
                let longest = i32::MAX as u128;
                timespec(Duration::from_millis(millis.min(longest) as u64))
            });
            epoll::wait(poller, spare_capacity(events), rounded.as_ref()).map(|_| ())
        }
        other => other.map(|_| ()),
    }
}

fn timespec(duration: Duration) -> Timespec {
    // A longer timeout may be more than the kernel can count. The caller polls again after a month.
    let duration = duration.min(Duration::from_secs(30 * 24 * 3600));
    Timespec {
        tv_sec: duration.as_secs() as _,
        tv_nsec: duration.subsec_nanos() as _,
    }
}
