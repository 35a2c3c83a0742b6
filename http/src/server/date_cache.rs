//! `DateCache`: the line of the `Date` header.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// The length of `date: Sun, 06 Nov 1994 08:49:37 GMT` and its CRLF.
const LINE_LEN: usize = 37;

/// The line of the `Date` header, formatted once a second.
pub(super) struct DateCache(Cell<(u64, [u8; LINE_LEN])>);

impl DateCache {
    pub(super) fn line(&self) -> [u8; LINE_LEN] {
        let time = SystemTime::now();
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (mut formatted, mut line) = self.0.get();
        if formatted != since.as_secs() {
            formatted = since.as_secs();
            let date = httpdate::fmt_http_date(time);
            line[6..35].copy_from_slice(date.as_bytes());
            self.0.set((formatted, line));
        }
        line
    }
}

impl Default for DateCache {
    fn default() -> Self {
        let line = *b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        Self(Cell::new((0, line)))
    }
}
