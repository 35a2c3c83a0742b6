//! Every unix but Linux: what `polling` offers, edge-triggered.
//!
//! Its events do not say whether an end of the stream came along, so each is taken as may_hide_more.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use polling::{PollMode, Poller};

use super::{Event, MAX_EVENTS};

pub(super) fn add(poller: &Poller, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
    if !poller.supports_edge() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "evy needs edge-triggered polling (epoll or kqueue), which this system lacks",
        ));
    }
    let raw = fd.as_raw_fd();
    // SAFETY: it is deleted before the descriptor is closed (`Reactor::register`).
    unsafe { poller.add_with_mode(raw, polling::Event::all(key), PollMode::Edge) }
}

/// What the last round has reported.
pub(super) struct Events(polling::Events);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new() -> Self {
        let round = NonZeroUsize::new(MAX_EVENTS).expect("a round reports something");
        Self(polling::Events::with_capacity(round))
    }

    pub(super) fn wait(&mut self, poller: &Poller, timeout: Option<Duration>) -> io::Result<()> {
        self.0.clear();
        match poller.wait(&mut self.0, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// The round has reported as many as it can: there may be more.
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
