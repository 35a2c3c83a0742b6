//! `Outgoing`: a response on its way.

use std::mem;

use http::{StatusCode, response};

use super::date_cache::DateCache;
use super::response_head::{HeadOutcome, RequestContext, write_head};
use super::settings::Settings;
use super::spares::Spares;
use crate::body::Body;

/// A response on its way, and how much of it was sent.
#[derive(Default)]
pub(super) struct Outgoing {
    /// What is to be sent next.
    pub(super) bytes: Vec<u8>,
    /// The number of bytes that were sent.
    pub(super) sent: usize,
    status: Option<StatusCode>,
    head_length: usize,
}

impl Outgoing {
    /// Forgets the response, and leaves the buffer to others.
    pub(super) fn reset(&mut self, spares: &Spares) {
        spares.put_output(mem::take(&mut self.bytes));
        *self = Self::default();
    }

    /// Begins with the head. What was to be sent before is discarded.
    pub(super) fn begin(
        &mut self,
        parts: &response::Parts,
        body: &Body,
        context: &RequestContext,
        settings: &Settings,
        dates: &DateCache,
        spares: &Spares,
    ) -> HeadOutcome {
        if self.bytes.capacity() == 0 {
            self.bytes = spares.output();
        }
        self.bytes.clear();
        self.status = Some(parts.status);
        let outcome = write_head(&mut self.bytes, parts, body, context, settings, dates);
        self.head_length = self.bytes.len();
        outcome
    }

    /// Returns the status, if any part of the response was sent.
    pub(super) fn sent_status(&self) -> Option<StatusCode> {
        self.status.filter(|_| self.sent > 0)
    }

    /// Returns the number of bytes that were sent after the head.
    pub(super) fn sent_body(&self) -> u64 {
        self.sent.saturating_sub(self.head_length) as u64
    }
}
