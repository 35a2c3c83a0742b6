//! From and into std's sockets and descriptors, the same for streams and listeners.
//!
//! A descriptor that comes in becomes non-blocking; one that goes out becomes blocking again. A
//! socket with several handles goes out as a duplicate, and stays non-blocking: the mode belongs to
//! all of them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use evy_runtime::io::Green;

use super::{TcpListener, TcpStream};

macro_rules! conversions {
    ($kind:ident, $std:ty) => {
        impl $kind {
            /// Takes std's socket over; it becomes non-blocking. Never parks.
            ///
            /// # Errors
            ///
            /// The system's, if the mode cannot be changed.
            pub fn from_std(inner: $std) -> io::Result<Self> {
                Ok(Self::new(Green::new(inner)?))
            }

            /// std's socket, blocking again; a non-blocking duplicate if there are other handles.
            /// Never parks.
            ///
            /// # Errors
            ///
            /// The system's, if there is no descriptor for a duplicate.
            pub fn into_std(self) -> io::Result<$std> {
                match Arc::try_unwrap(self.0) {
                    Ok(inner) => {
                        let inner = inner.io.into_inner();
                        inner.set_nonblocking(false)?;
                        Ok(inner)
                    }
                    Err(shared) => shared.io.inner().try_clone(),
                }
            }
        }

        impl From<$std> for $kind {
            /// As `from_std`.
            ///
            /// # Panics
            ///
            /// If the descriptor is no socket that can be made non-blocking.
            fn from(inner: $std) -> Self {
                Self::from_std(inner).expect("a socket can be made non-blocking")
            }
        }

        impl From<OwnedFd> for $kind {
            /// # Panics
            ///
            /// If the descriptor is no socket that can be made non-blocking.
            fn from(fd: OwnedFd) -> Self {
                Self::from(<$std>::from(fd))
            }
        }

        impl From<$kind> for OwnedFd {
            /// # Panics
            ///
            /// If there are other handles and no descriptor for a duplicate; `into_std` says so.
            fn from(socket: $kind) -> Self {
                socket
                    .into_std()
                    .expect("there is a descriptor for a duplicate")
                    .into()
            }
        }

        impl AsFd for $kind {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.io.as_fd()
            }
        }

        impl AsRawFd for $kind {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl IntoRawFd for $kind {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }
    };
}

conversions!(TcpStream, std::net::TcpStream);
conversions!(TcpListener, std::net::TcpListener);
