//! `Outgoing`: a response on its way.

use std::mem;

use http::{StatusCode, response};

use super::date_cache::DateCache;
use super::response_head::{HeadOutcome, RequestContext, write_head};
use super::settings::Settings;
use crate::body::Body;

/// The size up to which the buffer is kept for the next response.
const MAX_KEPT_BYTES: usize = 16 * 1024;

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
    pub(super) fn reset(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        if bytes.capacity() > MAX_KEPT_BYTES {
            bytes = Vec::new();
        }
        *self = Self {
            bytes,
            ..Self::default()
        };
    }

    /// Begins with the head. What was to be sent before is discarded.
    pub(super) fn begin(
        &mut self,
        parts: &response::Parts,
        body: &Body,
        context: &RequestContext,
        settings: &Settings,
        dates: &DateCache,
    ) -> HeadOutcome {
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
