//! `Settings`: the limits and timeouts of the server's connections.

use std::time::Duration;

use crate::limits::Limits;

/// The limits and timeouts of one connection.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    /// For a head, from its first byte.
    pub(super) head_timeout: Duration,
    /// For the wait between two requests.
    pub(super) idle_timeout: Duration,
    /// For one read of a body, or one write.
    pub(super) io_timeout: Duration,
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
        }
    }
}
