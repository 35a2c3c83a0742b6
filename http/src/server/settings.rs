//! `Settings`: the limits and timeouts of the server's connections.

use std::time::Duration;

use http::HeaderValue;

use crate::limits::Limits;
use crate::pace::PaceLimits;

/// The limits and timeouts of one connection.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    /// For a head, from its first byte, and for a handshake.
    pub(super) head_timeout: Duration,
    /// For the wait between two requests.
    pub(super) idle_timeout: Duration,
    /// For one read of a body, or one write.
    pub(super) io_timeout: Duration,
    /// For the body of a request.
    pub(super) body_timeout: Option<Duration>,
    /// For bodies in both directions, in bytes per second.
    pub(super) min_rate: u64,
    /// Whether CONNECT requests get to the handler.
    pub(super) allow_connect: bool,
    pub(super) server_header: Option<HeaderValue>,
    /// Whether request lines are kept although nothing may be logged.
    pub(super) keeps_line: bool,
}

impl Settings {
    /// Whether request lines are kept, for reports. A logger may be installed at any time, and this
    /// only reads a static.
    #[inline]
    pub(super) fn keeps_line(&self) -> bool {
        self.keeps_line || log::max_level() >= log::LevelFilter::Error
    }

    pub(super) fn receiving(&self) -> PaceLimits {
        PaceLimits {
            stall: self.io_timeout,
            min_rate: self.min_rate,
            total: self.body_timeout,
        }
    }

    pub(super) fn sending(&self) -> PaceLimits {
        PaceLimits {
            total: None,
            ..self.receiving()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits {
                target: Some(8 * 1024),
                head: 32 * 1024,
                headers: 100,
                body: 2 * 1024 * 1024,
            },
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            io_timeout: Duration::from_secs(30),
            body_timeout: Some(Duration::from_secs(600)),
            min_rate: 240,
            allow_connect: false,
            server_header: None,
            keeps_line: false,
        }
    }
}
