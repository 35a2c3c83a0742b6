//! `Sent`: how much of a response was sent.

use http::StatusCode;

/// How much of a response was sent. The access log records it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    status: Option<StatusCode>,
    head: usize,
    total: usize,
}

impl Sent {
    /// Records that a response begins with a head of that length. Nothing of an earlier one was
    /// sent.
    pub(super) fn begin(&mut self, status: StatusCode, head: usize) {
        (self.status, self.head) = (Some(status), head);
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.total += bytes;
    }

    /// Returns the status, if any part of the response was sent.
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.status.filter(|_| self.total > 0)
    }

    /// Returns the number of bytes that were sent after the head.
    pub(super) fn body(&self) -> u64 {
        self.total.saturating_sub(self.head) as u64
    }
}
