//! Opening a named pipe: the wait for its other end needs no OS thread.
//!
//! The system blocks the OS thread that opens a named pipe until the other end is open too, and
//! nothing ends that wait. The caller may be killed or time out meanwhile. So the pipe is opened in
//! non-blocking mode, and the caller parks until there is another end:
//!
//! - A writer cannot be opened without a reader, so it is tried again.
//! - A reader is opened at once. It waits for data or the end of the stream, and asks now and then
//!   whether there is a writer, because that alone is no event.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;

use super::pauses::Pauses;
use crate::io::{Direction, Green, Timeout};

/// Whether `path` is that of a named pipe that can be opened in this way. On other systems than Linux
/// nothing shows whether there is a writer.
pub(super) fn is_named_pipe(path: &Path) -> bool {
    let is_linux = cfg!(any(target_os = "linux", target_os = "android"));
    is_linux && fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Whether a writer could not be opened because there is no reader.
pub(super) fn has_no_reader(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NXIO)
}

/// Waits until the end `pipe`, which is non-blocking, has another end. Then it is blocking, as if it
/// had been opened so.
///
/// Parks until then.
///
/// # Errors
///
/// Returns the error of the system.
pub(super) fn finish_open(pipe: &fs::File) -> io::Result<()> {
    let is_reader = fcntl_getfl(pipe)? & OFlags::RWMODE == OFlags::RDONLY;
    let green = Green::from_non_blocking(pipe);
    let mut pauses = Pauses::new();
    while is_reader && !has_writer(pipe)? {
        match green.wait_ready(Direction::Read, Timeout::After(pauses.next())) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rustix::io::ioctl_fionbio(pipe, false)?)
}

/// Whether the pipe has a writer. What it has written is duplicated, and not taken.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_writer(reader: &fs::File) -> io::Result<bool> {
    use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

    let (_duplicates, duplicate_to) = pipe_with(PipeFlags::CLOEXEC)?;
    match tee(reader, &duplicate_to, 1, SpliceFlags::NONBLOCK) {
        Ok(duplicated) => Ok(duplicated > 0),
        Err(Errno::AGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn has_writer(_: &fs::File) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
