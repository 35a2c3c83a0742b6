//! `ChildStdin`, `ChildStdout` and `ChildStderr`: this process's ends of the pipes to a child.
//!
//! Only these ends are non-blocking. The child's ends are open files of their own, and block.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::{self, Stdio};

use crate::io::{PipeReader, PipeWriter};

/// A handle for writing to the standard input of a child, like [`std::process::ChildStdin`]. A
/// write parks until there is room.
///
/// The input ends when the handle is dropped.
pub struct ChildStdin(PipeWriter);

/// A handle for reading from the standard output of a child, like [`std::process::ChildStdout`]. A
/// read parks until there is data.
pub struct ChildStdout(PipeReader);

/// A handle for reading from the standard error of a child, like [`std::process::ChildStderr`]. A
/// read parks until there is data.
pub struct ChildStderr(PipeReader);

impl Write for &ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(bufs)
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
                Self($pipe::of_child(fd.into()))
            }
        }

        /// The descriptor is made blocking again.
        impl From<$kind> for OwnedFd {
            fn from(handle: $kind) -> Self {
                handle.0.into()
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

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($kind)).finish_non_exhaustive()
            }
        }
    )+};
}

conversions!(ChildStdin of PipeWriter ChildStdout of PipeReader ChildStderr of PipeReader);
