//! `ChildStdin`, `ChildStdout` and `ChildStderr`: this process's ends of the pipes to a child.
//!
//! Only these ends are non-blocking. The child's ends are open files of their own, and block.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::{self, Stdio};

use crate::io::{Direction, Green, Sharing, Timeout};

/// A handle for writing to the standard input of a child, like [`std::process::ChildStdin`]. A
/// write parks until there is room.
///
/// The input ends when the handle is dropped.
pub struct ChildStdin(Green<PipeWriter>);

/// A handle for reading from the standard output of a child, like [`std::process::ChildStdout`]. A
/// read parks until there is data.
pub struct ChildStdout(Green<PipeReader>);

/// A handle for reading from the standard error of a child, like [`std::process::ChildStderr`]. A
/// read parks until there is data.
pub struct ChildStderr(Green<PipeReader>);

impl ChildStdin {
    /// Runs `op` on the pipe, parking until there is room.
    fn write_with(&self, op: impl FnMut(&PipeWriter) -> io::Result<usize>) -> io::Result<usize> {
        let (direction, sharing) = (Direction::Write, Sharing::Shared);
        self.0
            .with_io(direction, sharing, Timeout::Never, op, |_| false)
    }
}

impl Write for &ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with(|mut pipe| pipe.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|mut pipe| pipe.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! read {
    ($($kind:ident)+) => {$(
        impl Read for $kind {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read_vectored(bufs)
            }
        }
    )+};
}

read!(ChildStdout ChildStderr);

macro_rules! conversions {
    ($($kind:ident of $pipe:ident)+) => {$(
        impl AsFd for $kind {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
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

        /// The descriptor is made non-blocking, which affects every duplicate of it.
        impl From<OwnedFd> for $kind {
            fn from(fd: OwnedFd) -> Self {
                set_non_blocking(&fd, true);
                Self(Green::from_non_blocking($pipe::from(fd)))
            }
        }

        /// The descriptor is made blocking again.
        impl From<$kind> for OwnedFd {
            fn from(handle: $kind) -> Self {
                let pipe = handle.0.into_inner();
                set_non_blocking(&pipe, false);
                pipe.into()
            }
        }

        /// The descriptor is made blocking again, as the child expects.
        impl From<$kind> for Stdio {
            fn from(handle: $kind) -> Self {
                OwnedFd::from(handle).into()
            }
        }

        impl From<process::$kind> for $kind {
            fn from(handle: process::$kind) -> Self {
                OwnedFd::from(handle).into()
            }
        }

        impl UnwindSafe for $kind {}

        impl RefUnwindSafe for $kind {}

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($kind)).finish_non_exhaustive()
            }
        }
    )+};
}

conversions!(ChildStdin of PipeWriter ChildStdout of PipeReader ChildStderr of PipeReader);

/// Changes the mode of `fd`. That cannot fail for a descriptor that can be read or written at all,
/// and the conversions of std have no way to return an error.
fn set_non_blocking(fd: impl AsFd, non_blocking: bool) {
    rustix::io::ioctl_fionbio(fd, non_blocking).ok();
}
