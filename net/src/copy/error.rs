//! `CopyError`: how far a copy had come when it failed.

use std::error::Error;
use std::fmt;
use std::io;

/// The content of the [`io::Error`] of [`copy`](crate::copy) and
/// [`copy_bidirectional`](crate::copy_bidirectional): the error of the stream, and the number of
/// bytes that were written before.
///
/// # Examples
///
/// ```
/// use evy::net::{self, CopyError, Shutdown};
/// use evy::os::unix::net::UnixStream;
/// use std::io::{ErrorKind, Write};
///
/// let (mut source, mut from) = UnixStream::pair()?;
/// let (mut to, sink) = UnixStream::pair()?;
/// source.write_all(b"hello")?;
/// drop(sink);
/// let error = net::copy(&mut from, &mut to).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::BrokenPipe);
/// let details = error.get_ref().and_then(|error| error.downcast_ref::<CopyError>()).unwrap();
/// assert_eq!(details.copied(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct CopyError {
    error: io::Error,
    copied: u64,
    copied_back: u64,
}

impl CopyError {
    /// Returns an error of the same kind, with the counts.
    pub(super) fn wrap(error: io::Error, copied: u64, copied_back: u64) -> io::Error {
        let kind = error.kind();
        let details = Self {
            error,
            copied,
            copied_back,
        };
        io::Error::new(kind, details)
    }

    /// Returns the error of the stream.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.error
    }

    /// Returns the number of bytes that were written from the reader to the writer, or from `a` to
    /// `b`.
    #[must_use]
    pub fn copied(&self) -> u64 {
        self.copied
    }

    /// Returns the number of bytes that were written from `b` to `a`.
    #[must_use]
    pub fn copied_back(&self) -> u64 {
        self.copied_back
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.copied + self.copied_back;
        write!(f, "{}, after {total} bytes were copied", self.error)
    }
}

impl Error for CopyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
