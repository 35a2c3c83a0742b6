//! When a short read or write shows that a descriptor has nothing more to offer.
//!
//! A read that fills less than its buffer has emptied a TCP socket, and the next read can wait for
//! an event at once. For most other descriptors a short read shows nothing: a datagram socket, a
//! terminal, an inotify descriptor or a pipe in packet mode returns one message at a time, and a
//! Unix socket stops where descriptors are attached. Their readiness is cleared by `WouldBlock`
//! alone. A wrong guess would be a lost wake-up, and a right one saves a single system call.

use std::os::fd::BorrowedFd;

/// Returns `true` if `fd` is a TCP socket.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    use rustix::net::{SocketType, ipproto, sockopt};
    // A descriptor that is no socket has none of these options.
    sockopt::socket_type(fd) == Ok(SocketType::STREAM)
        && sockopt::socket_protocol(fd) == Ok(Some(ipproto::TCP))
}

/// Returns `false`: the events of this system never allow the conclusion.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn is_tcp(_fd: BorrowedFd<'_>) -> bool {
    false
}
