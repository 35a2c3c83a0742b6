//! `pipe`: an anonymous pipe whose ends park.
//!
//! The handles to one end share its file description. As long as all of them belong to this
//! process, the description is non-blocking. A child needs it to be blocking; so from the first
//! handle that is given away, those that stay treat the description as one that others share
//! ([`shared`](super::shared)).

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::sync::Arc;

use super::green::Green;
use super::read_write::{read, read_vectored, write, write_vectored};
use super::timeout::Sharing;
use crate::thread::charge;

/// Creates an anonymous pipe, like [`std::io::pipe`]: its ends park the green thread instead of
/// blocking the OS thread.
///
/// # Errors
///
/// Returns the error of the system if no descriptor is available.
///
/// # Examples
///
/// ```
/// use evy::io::{self, Read, Write};
///
/// let (mut reader, mut writer) = io::pipe()?;
/// evy::spawn_n(move || writer.write_all(b"through a pipe").unwrap());
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "through a pipe");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    charge(|| false);
    let (reader, writer) = io::pipe()?;
    Ok((PipeReader(own(reader)?), PipeWriter(own(writer)?)))
}

/// Wraps an end of a new pipe, which nothing else uses.
fn own<T: AsFd>(end: T) -> io::Result<Arc<Green<T>>> {
    rustix::io::ioctl_fionbio(&end, true)?;
    Ok(Arc::new(Green::from_non_blocking(end)))
}

/// The reading end of a pipe, like [`std::io::PipeReader`]. Returned by [`pipe`].
///
/// Several green threads may read at once. They get the data in FIFO order, and each byte goes to
/// one of them.
///
/// Converted into an [`OwnedFd`] or a [`Stdio`], it is blocking again, as a child expects.
///
/// # Differences from std
///
/// - `try_clone` duplicates no descriptor.
pub struct PipeReader(Arc<Green<io::PipeReader>>);

/// The writing end of a pipe, like [`std::io::PipeWriter`]. Returned by [`pipe`].
///
/// Several green threads may write at once. A write of at most `PIPE_BUF` bytes (4096 on Linux) is
/// not mixed with others.
///
/// Converted into an [`OwnedFd`] or a [`Stdio`], it is blocking again, as a child expects.
///
/// # Differences from std
///
/// - `try_clone` duplicates no descriptor.
pub struct PipeWriter(Arc<Green<io::PipeWriter>>);

impl Read for &PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.0.inner();
        read(self.0.operation(), &mut inner, Sharing::Shared, buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut inner = self.0.inner();
        read_vectored(self.0.operation(), &mut inner, Sharing::Shared, bufs)
    }
}

impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for &PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.inner();
        write(self.0.operation(), &mut inner, Sharing::Shared, buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.0.inner();
        write_vectored(self.0.operation(), &mut inner, Sharing::Shared, bufs)
    }

    /// Does nothing, because nothing is buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    /// Does nothing, because nothing is buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Implements what both ends have in common.
macro_rules! end_of_a_pipe {
    ($end:ident, $std:ty) => {
        impl $end {
            /// Returns another handle to the same end.
            ///
            /// # Errors
            ///
            /// Never fails; the signature is std's.
            pub fn try_clone(&self) -> io::Result<Self> {
                Ok(Self(Arc::clone(&self.0)))
            }

            /// Wraps an end of a pipe to a child, which is used here alone.
            ///
            /// Making it non-blocking cannot fail for a descriptor that can be read or written at
            /// all, and the conversions of std have no way to return an error.
            pub(crate) fn of_child(end: $std) -> Self {
                rustix::io::ioctl_fionbio(&end, true).ok();
                Self(Arc::new(Green::from_non_blocking(end)))
            }

            #[cfg(feature = "futures-io")]
            pub(super) fn green(&self) -> &Green<$std> {
                &self.0
            }

            /// Returns std's end of the pipe, which is blocking. Other handles to this end still
            /// park.
            fn into_std(self) -> io::Result<$std> {
                let (end, is_shared) = match Arc::try_unwrap(self.0) {
                    Ok(green) => {
                        let is_shared = green.is_shared();
                        (green.into_inner(), is_shared)
                    }
                    Err(green) => {
                        let duplicate = green.inner().try_clone()?;
                        let was_shared = green.is_shared();
                        // Before the description becomes blocking, so that no handle blocks.
                        green.set_shared();
                        (duplicate, was_shared)
                    }
                };
                if !is_shared {
                    rustix::io::ioctl_fionbio(&end, false)?;
                }
                Ok(end)
            }
        }

        impl From<OwnedFd> for $end {
            /// Wraps an end of a pipe that others may use too. Its mode is not changed.
            fn from(fd: OwnedFd) -> Self {
                Self::from(<$std>::from(fd))
            }
        }

        impl From<$std> for $end {
            /// Wraps an end of a pipe that others may use too. Its mode is not changed.
            fn from(end: $std) -> Self {
                let green = Green::from_non_blocking(end);
                green.set_shared();
                Self(Arc::new(green))
            }
        }

        impl From<$end> for OwnedFd {
            /// Returns the descriptor, which is blocking.
            ///
            /// # Panics
            ///
            /// Panics if there are other handles and no descriptor is available for a duplicate.
            fn from(end: $end) -> Self {
                let end = end.into_std();
                end.expect("failed to duplicate the descriptor").into()
            }
        }

        impl From<$end> for Stdio {
            /// Gives the end to a child, which gets it blocking.
            ///
            /// # Panics
            ///
            /// Panics if there are other handles and no descriptor is available for a duplicate.
            fn from(end: $end) -> Self {
                Self::from(OwnedFd::from(end))
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl IntoRawFd for $end {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl FromRawFd for $end {
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the caller owns the descriptor.
                Self::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        impl fmt::Debug for $end {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

end_of_a_pipe!(PipeReader, io::PipeReader);
end_of_a_pipe!(PipeWriter, io::PipeWriter);
