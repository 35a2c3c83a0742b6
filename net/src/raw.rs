//! What needs `unsafe`: sockets from descriptors that only have a number, and the action of a
//! signal. The only file of this crate that may contain any (`tests/tidy.rs`).
#![expect(unsafe_code, reason = "this file has what the others cannot express")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::unix::{UnixDatagram, UnixListener, UnixStream};
use crate::{TcpListener, TcpStream, UdpSocket};

macro_rules! from_raw_fd {
    ($($kind:ty)*) => { $(
        impl FromRawFd for $kind {
            /// Converts like `from_std`.
            ///
            /// # Panics
            ///
            /// Panics if the descriptor cannot be made non-blocking.
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the descriptor is open and belongs to the caller alone (caller).
                Self::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }
    )* };
}

from_raw_fd!(TcpStream TcpListener UdpSocket UnixStream UnixListener UnixDatagram);

/// Whether the process ignores SIGPIPE, as Rust programs do by default.
#[cfg(target_os = "linux")]
pub(crate) fn is_sigpipe_ignored() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call changes nothing and writes the current action.
    let result = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: an action of zeros is valid too.
    let action = unsafe { action.assume_init() };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}
