//! `DateCache`: the text of the `Date` header.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// The text of the `Date` header, formatted once a second.
#[derive(Default)]
pub(super) struct DateCache(Cell<(u64, [u8; 29])>);

impl DateCache {
    pub(super) fn date(&self) -> [u8; 29] {
        let time = SystemTime::now();
        let second = time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let (mut formatted, mut text) = self.0.get();
        if formatted != second {
            formatted = second;
            text.copy_from_slice(httpdate::fmt_http_date(time).as_bytes());
            self.0.set((formatted, text));
        }
        text
    }
}
