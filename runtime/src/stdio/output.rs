//! `Output`: the descriptors of standard output and error.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::io::Green;

/// The process is exiting. From then on a write blocks the OS thread, because nothing is left to
/// wait with.
static EXITING: AtomicBool = AtomicBool::new(false);

pub(super) fn set_exiting() {
    EXITING.store(true, Ordering::Relaxed);
}

/// Writes to the descriptor of `T` without a buffer. Like std's, it accepts everything if it is
/// closed.
#[derive(Debug)]
pub(super) struct Output<T>(pub(super) T);

impl<T: AsFd + Write> Write for Output<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let result = match EXITING.load(Ordering::Relaxed) {
            false => Green::for_one_call(&mut self.0).and_then(|mut output| output.write(buf)),
            true => write_blocking(self.0.as_fd(), buf),
        };
        or_if_closed(result, buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_blocking(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(fd, buf) {
            // Another process has made it non-blocking.
            Err(Errno::AGAIN) => {
                rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None)?
            }
            Err(Errno::INTR) => 0,
            written => return Ok(written?),
        };
    }
}

/// Returns `substitute` if the descriptor is closed.
pub(super) fn or_if_closed(result: io::Result<usize>, substitute: usize) -> io::Result<usize> {
    match result {
        Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => Ok(substitute),
        result => result,
    }
}
