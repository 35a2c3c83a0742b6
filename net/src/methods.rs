//! The methods and traits that several kinds of sockets share, each written once.
//!
//! The macros take the name of a tuple struct that holds a [`Socket`](crate::socket::Socket).

/// Implements what every kind of socket has.
macro_rules! socket {
    ($kind:ident) => {
        impl $kind {
            /// Returns another handle to the same socket.
            ///
            /// # Differences from std
            ///
            /// - No descriptor is duplicated.
            ///
            /// # Errors
            ///
            /// Never fails; the signature is std's.
            pub fn try_clone(&self) -> std::io::Result<Self> {
                Ok(Self(self.0.clone()))
            }

            /// Makes operations return `WouldBlock` instead of parking, for all handles.
            ///
            /// # Errors
            ///
            /// Never fails; the signature is std's.
            pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
                self.0.set_nonblocking(nonblocking);
                Ok(())
            }

            /// Takes the pending error of the socket.
            ///
            /// # Errors
            ///
            /// Returns the error of the system.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                evy_runtime::lowlevel::charge();
                self.0.std().take_error()
            }
        }

        /// Prints what std's socket prints.
        impl std::fmt::Debug for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
pub(crate) use socket;

/// Implements methods that never block by calling those of std's socket.
macro_rules! forward {
    ($kind:ident: $($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        /// Options of the socket, like std's.
        impl $kind { $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// Returns the error of the system.
            pub fn $name(&self, $($arg: $type),*) -> std::io::Result<$result> {
                self.0.std().$name($($arg),*)
            }
        )* }
    };
}
pub(crate) use forward;

/// Implements the timeouts of a socket that is read and written.
macro_rules! timeouts {
    ($kind:ident) => {
        impl $kind {
            /// Sets how long a read may park, for all handles; `None` means without limit.
            ///
            /// # Errors
            ///
            /// Returns `InvalidInput` if the timeout is zero.
            pub fn set_read_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.0.set_read_timeout(timeout)
            }

            /// Sets how long a write may park, for all handles; `None` means without limit.
            ///
            /// # Errors
            ///
            /// Returns `InvalidInput` if the timeout is zero.
            pub fn set_write_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.0.set_write_timeout(timeout)
            }

            /// Returns the read timeout.
            ///
            /// # Errors
            ///
            /// Never fails; the signature is std's.
            pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                Ok(self.0.read_timeout())
            }

            /// Returns the write timeout.
            ///
            /// # Errors
            ///
            /// Never fails; the signature is std's.
            pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                Ok(self.0.write_timeout())
            }
        }
    };
}
pub(crate) use timeouts;

/// Implements `Read`, `Write`, [`Stream`](crate::Stream) and [`Duplex`](crate::Duplex) for a
/// connection. Methods of `Stream` that differ follow in braces.
macro_rules! byte_stream {
    ($kind:ident { $($methods:tt)* }) => {
        crate::methods::byte_stream!(@read_write $kind);
        crate::methods::byte_stream!(@read_write &$kind);

        impl crate::Stream for $kind {
            fn set_read_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.set_read_timeout(timeout)
            }

            fn set_write_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.set_write_timeout(timeout)
            }

            fn wait_readable(&mut self) -> std::io::Result<()> {
                self.0.wait_readable()
            }

            fn close_write(&mut self) -> std::io::Result<()> {
                self.shutdown(std::net::Shutdown::Write)
            }

            $($methods)*
        }

        impl crate::Duplex for $kind {
            fn try_clone(&self) -> std::io::Result<Self> {
                self.try_clone()
            }
        }
    };
    (@read_write $kind:ty) => {
        impl std::io::Read for $kind {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.0.read(buf)
            }

            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                self.0.read_vectored(bufs)
            }
        }

        impl std::io::Write for $kind {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.0.write(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.0.write_vectored(bufs)
            }

            /// Does nothing, because nothing is buffered.
            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}
pub(crate) use byte_stream;

/// Implements what a listener has, whose connections are `$stream` and whose addresses are `$addr`,
/// and declares its iterator `Incoming`.
macro_rules! listener {
    ($kind:ident: $stream:ident, $addr:ident, $std:ty) => {
        impl $kind {
            /// Accepts the next connection.
            ///
            /// Parks until there is one.
            ///
            /// # Differences from std
            ///
            /// - A connection that has failed before it could be accepted is skipped, as accept(2)
            ///   recommends.
            ///
            /// # Errors
            ///
            /// Returns the error of the system. After an error about a limit (descriptors, memory)
            /// the connection is still waiting, and can be accepted once there is room.
            pub fn accept(&self) -> std::io::Result<($stream, $addr)> {
                use crate::accept_error::AcceptError;
                loop {
                    match self.try_accept() {
                        Err(error) if AcceptError::of(&error) == AcceptError::Connection => {}
                        accepted => return accepted,
                    }
                }
            }

            /// Accepts the next connection, or returns the error with which it has failed.
            fn try_accept(&self) -> std::io::Result<($stream, $addr)> {
                let sharing = evy_runtime::io::Sharing::Shared;
                let (stream, addr) = self.0.read_with(sharing, <$std>::accept, |_| false)?;
                Ok(($stream::wrap(stream)?, addr))
            }

            /// Returns an endless iterator over connections, each `next` of which is an
            /// [`accept`](Self::accept).
            #[must_use]
            pub fn incoming(&self) -> Incoming<'_> {
                Incoming { listener: self }
            }
        }

        impl crate::Listener for $kind {
            type Stream = $stream;
            type Addr = $addr;

            fn accept(&self) -> std::io::Result<($stream, $addr)> {
                self.try_accept()
            }

            fn local_addr(&self) -> std::io::Result<$addr> {
                self.local_addr()
            }
        }

        #[doc = concat!(
                                    "An endless iterator over accepted connections. Returned by [`",
                                    stringify!($kind),
                                    "::incoming`]."
                                )]
        #[derive(Debug)]
        pub struct Incoming<'a> {
            listener: &'a $kind,
        }

        impl Iterator for Incoming<'_> {
            type Item = std::io::Result<$stream>;

            fn next(&mut self) -> Option<Self::Item> {
                Some(self.listener.accept().map(|(stream, _)| stream))
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (usize::MAX, None)
            }
        }

        impl std::iter::FusedIterator for Incoming<'_> {}
    };
}
pub(crate) use listener;
