//! `DateCache`: the line of the `Date` header.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The length of `date: Sun, 06 Nov 1994 08:49:37 GMT` and its CRLF.
const LINE_LEN: usize = 37;

/// It is some milliseconds late, but takes a fraction of the time to read.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::RealtimeCoarse;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Realtime;

/// The line of the `Date` header, formatted once a second.
pub(super) struct DateCache {
    second: Cell<u64>,
    line: Cell<[u8; LINE_LEN]>,
}

impl DateCache {
    pub(super) fn line(&self) -> [u8; LINE_LEN] {
        let second = u64::try_from(clock_gettime(CLOCK).tv_sec).unwrap_or(0);
        if self.second.replace(second) != second {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            let mut line = self.line.get();
            line[6..35].copy_from_slice(date.as_bytes());
            self.line.set(line);
        }
        self.line.get()
    }
}

impl Default for DateCache {
    fn default() -> Self {
        Self {
            second: Cell::new(0),
            line: Cell::new(*b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
        }
    }
}
