//! The backend for other Unix systems than Linux and Android: `polling`, edge-triggered.
//!
//! Its events do not show whether the end of the stream has been reached as well, so
//! `may_hide_more` is set in each of them.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use polling::{PollMode, Poller};

use super::{Event, MAX_EVENTS, Urgent};

pub(super) fn add(
    poller: &Poller,
    fd: BorrowedFd<'_>,
    key: usize,
    _urgent: Urgent,
) -> io::Result<()> {
    if !poller.supports_edge() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "evy needs edge-triggered polling (epoll or kqueue), which this system lacks",
        ));
    }
    let raw = fd.as_raw_fd();
    // SAFETY: the descriptor is removed from the poller before it is closed (`Reactor::register`).
    unsafe { poller.add_with_mode(raw, polling::Event::all(key), PollMode::Edge) }
}

/// Registers a descriptor once more, so that its readiness is reported again.
///
/// # Errors
///
/// Returns `NotFound` if the descriptor is not registered.
pub(super) fn modify(poller: &Poller, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
    poller.modify_with_mode(fd, polling::Event::all(key), PollMode::Edge)
}

/// The events that the last poll has reported.
pub(super) struct Events(polling::Events);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new() -> Self {
        let capacity = NonZeroUsize::new(MAX_EVENTS).expect("a poll reports at least one event");
        Self(polling::Events::with_capacity(capacity))
    }

    pub(super) fn wait(&mut self, poller: &Poller, timeout: Option<Duration>) -> io::Result<()> {
        self.0.clear();
        match poller.wait(&mut self.0, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Whether the last poll has reported as many events as it can, so there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_EVENTS
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Event> {
        self.0.iter().map(|event| Event {
            key: event.key,
            readable: event.readable,
            writable: event.writable,
            may_hide_more: true,
        })
    }
}
