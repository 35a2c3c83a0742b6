//! `AcceptError`: what an error of `accept` is about.

use std::io;

/// What an error of `accept` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// The connection that was to be accepted. It is gone, and the next one can be accepted.
    Connection,
    /// That connection, or every one: a firewall's refusal, or a missing feature.
    Unclear,
    /// Descriptors or memory have run out. The connection is still waiting.
    Shortage,
    /// The listener itself.
    Listener,
}

impl AcceptError {
    /// Returns what `error` is about, according to accept(2).
    pub(crate) fn of(error: &io::Error) -> Self {
        // Linux passes pending errors of the new connection on as errors of `accept`.
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => Self::Shortage,
            Some(
                libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENOPROTOOPT
                | libc::ETIMEDOUT,
            ) => Self::Connection,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(libc::ENONET) => Self::Connection,
            Some(libc::EOPNOTSUPP | libc::EPERM) => Self::Unclear,
            Some(_) => Self::Listener,
            None => Self::of_kind(error.kind()),
        }
    }

    /// Returns what an error without a number is about, which another transport has made.
    fn of_kind(kind: io::ErrorKind) -> Self {
        use io::ErrorKind as Kind;
        match kind {
            Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::TimedOut => Self::Connection,
            Kind::OutOfMemory => Self::Shortage,
            _ => Self::Listener,
        }
    }
}
