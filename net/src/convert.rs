//! Conversions between a cooperative socket, std's socket and descriptors, the same for every kind.
//!
//! A descriptor that is converted into a cooperative socket becomes non-blocking, and one that is
//! converted back becomes blocking again. A socket with several handles is converted into a
//! duplicate of its descriptor, which stays non-blocking, because the mode belongs to all
//! duplicates.

/// Implements the conversions of a tuple struct that holds a [`Socket`](crate::socket::Socket) of
/// `$std`.
macro_rules! conversions {
    ($kind:ident, $std:ty) => {
        impl $kind {
            /// Creates a cooperative socket from std's, which becomes non-blocking.
            ///
            /// # Errors
            ///
            /// Returns the error of the system if the mode cannot be changed.
            pub fn from_std(inner: $std) -> std::io::Result<Self> {
                evy_runtime::lowlevel::charge();
                Self::wrap(inner)
            }

            /// Makes a new socket of std non-blocking and wraps it. The caller has charged that.
            pub(crate) fn wrap(inner: $std) -> std::io::Result<Self> {
                $crate::socket::Socket::new(inner).map(Self)
            }

            /// Converts the socket into std's, which is blocking again. If there are other handles
            /// to the socket, the result is a non-blocking duplicate.
            ///
            /// # Errors
            ///
            /// Returns the error of the system if no descriptor is available for a duplicate.
            pub fn into_std(self) -> std::io::Result<$std> {
                evy_runtime::lowlevel::charge();
                match self.0.try_into_std() {
                    Ok(inner) => {
                        inner.set_nonblocking(false)?;
                        Ok(inner)
                    }
                    Err(shared) => shared.std().try_clone(),
                }
            }
        }

        impl From<$std> for $kind {
            /// Converts like `from_std`.
            ///
            /// # Panics
            ///
            /// Panics if the descriptor cannot be made non-blocking.
            fn from(inner: $std) -> Self {
                Self::from_std(inner).expect("failed to make the socket non-blocking")
            }
        }

        impl From<$kind> for $std {
            /// Converts like `into_std`.
            ///
            /// # Panics
            ///
            /// Panics if there are other handles and no descriptor is available for a duplicate;
            /// `into_std` returns an error instead.
            fn from(socket: $kind) -> Self {
                socket
                    .into_std()
                    .expect("failed to duplicate the descriptor")
            }
        }

        impl From<std::os::fd::OwnedFd> for $kind {
            /// Converts like `from_std`.
            ///
            /// # Panics
            ///
            /// Panics if the descriptor cannot be made non-blocking.
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                Self::from(<$std>::from(fd))
            }
        }

        impl From<$kind> for std::os::fd::OwnedFd {
            /// Converts like `into_std`.
            ///
            /// # Panics
            ///
            /// Panics if there are other handles and no descriptor is available for a duplicate;
            /// `into_std` returns an error instead.
            fn from(socket: $kind) -> Self {
                <$std>::from(socket).into()
            }
        }

        impl std::os::fd::AsFd for $kind {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $kind {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsFd::as_fd(self).as_raw_fd()
            }
        }

        impl std::os::fd::IntoRawFd for $kind {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::OwnedFd::from(self).into_raw_fd()
            }
        }
    };
}
pub(crate) use conversions;
