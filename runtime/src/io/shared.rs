//! Reading and writing through a file description that others share.
//!
//! Standard input is shared with the shell and with every process that inherited it. If this
//! process made it non-blocking, their reads and writes would fail with `EAGAIN`. So nothing is
//! changed here, and the description may be blocking. Each operation is made such that it does not
//! block the OS thread:
//!
//! | kind of descriptor | how |
//! | --- | --- |
//! | regular file, directory, block device, `/dev/null` | at once, because it is always ready |
//! | socket | with `MSG_DONTWAIT` |
//! | pipe | with `RWF_NOWAIT` (Linux 6.5), otherwise like a terminal |
//! | terminal | through a non-blocking description of its own, opened for this call (Linux) |
//! | anything else, and where the above fails | if it is ready according to `poll` |
//!
//! In the last row another reader may take the data between `poll` and the read. Then the OS thread
//! is blocked until there is more. Writes are short, so that what is ready takes all of it. A
//! terminal does not promise that: it may be ready for one byte only, and block for the second.
//!
//! The kind is asked for at each operation, because `dup2` can put another description behind the
//! same number at any time.

use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;
use rustix::net::{RecvFlags, SendFlags};

use super::readiness::is_ready;
use crate::reactor::Direction;

/// The most bytes that a pipe which is ready takes at once.
const PIPE_BUF: usize = rustix::pipe::PIPE_BUF;

/// The most bytes that are written to a terminal at once, if that may block.
const TERMINAL_BUF: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Always ready.
    File,
    Socket,
    Pipe,
    Terminal,
    /// Another character device, or something without a file, such as an eventfd.
    Other,
}

impl Kind {
    fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let stat = rustix::fs::fstat(fd)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice => Self::File,
            FileType::Socket => Self::Socket,
            FileType::Fifo => Self::Pipe,
            FileType::CharacterDevice if nowait::is_memory(&stat) => Self::File,
            FileType::CharacterDevice if fd.is_terminal() => Self::Terminal,
            _ => Self::Other,
        })
    }
}

/// Returns an error if `fd` is not open.
pub(super) fn check_open(fd: BorrowedFd<'_>) -> io::Result<()> {
    Kind::of(fd).map(|_| ())
}

/// Whether `fd` is always ready: a regular file, a directory or a block device.
///
/// # Errors
///
/// Returns the error of the system.
pub(crate) fn is_always_ready(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(Kind::of(fd)? == Kind::File)
}

/// Reads what there is. Returns `WouldBlock` if there is nothing.
pub(super) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    match Kind::of(fd)? {
        Kind::File => return Ok(rustix::io::read(fd, buf)?),
        Kind::Socket => return Ok(rustix::net::recv(fd, buf, RecvFlags::DONTWAIT)?.0),
        Kind::Pipe => {
            if let Some(result) = nowait::read(fd, buf) {
                return result;
            }
            if let Some(own) = nowait::reopen(fd, Direction::Read) {
                return Ok(rustix::io::read(own, buf)?);
            }
        }
        Kind::Terminal => {
            if let Some(own) = nowait::reopen(fd, Direction::Read) {
                return Ok(rustix::io::read(own, buf)?);
            }
        }
        Kind::Other => {}
    }
    check_ready(fd, Direction::Read)?;
    Ok(rustix::io::read(fd, buf)?)
}

/// The error of a socket whose peer has closed raises no signal. On systems of Apple that is an option of
/// the socket, which std sets.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Writes as much as there is certainly room for. Returns `WouldBlock` if there is none.
pub(super) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let at_once = |most: usize| &buf[..buf.len().min(most)];
    let part = match Kind::of(fd)? {
        Kind::File => return Ok(rustix::io::write(fd, buf)?),
        Kind::Socket => {
            let flags = SendFlags::DONTWAIT | NO_SIGNAL;
            return Ok(rustix::net::send(fd, buf, flags)?);
        }
        Kind::Pipe => {
            if let Some(result) = nowait::write(fd, at_once(PIPE_BUF)) {
                return result;
            }
            if let Some(own) = nowait::reopen(fd, Direction::Write) {
                return Ok(rustix::io::write(own, at_once(PIPE_BUF))?);
            }
            at_once(PIPE_BUF)
        }
        Kind::Terminal => {
            if let Some(own) = nowait::reopen(fd, Direction::Write) {
                return Ok(rustix::io::write(own, buf)?);
            }
            at_once(TERMINAL_BUF)
        }
        Kind::Other => at_once(PIPE_BUF),
    };
    check_ready(fd, Direction::Write)?;
    Ok(rustix::io::write(fd, part)?)
}

/// Returns `WouldBlock` if `fd` is not ready.
pub(super) fn check_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
    match is_ready(fd, direction)? {
        true => Ok(()),
        false => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Ways not to wait, whatever the mode of the description. They return `None` where the kernel has
/// none for the descriptor.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod nowait {
    use std::io::{self, IoSlice, IoSliceMut};
    use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

    use rustix::fs::{Mode, OFlags, Stat};
    use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

    use crate::reactor::Direction;

    /// Stands for the position of the description. A pipe has none.
    const CURRENT_POSITION: u64 = u64::MAX;

    /// Whether a character device is `/dev/null`, `/dev/zero` or `/dev/full`.
    pub(super) fn is_memory(stat: &Stat) -> bool {
        let device = stat.st_rdev;
        let number = (rustix::fs::major(device), rustix::fs::minor(device));
        matches!(number, (1, 3 | 5 | 7))
    }

    pub(super) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> Option<io::Result<usize>> {
        let mut bufs = [IoSliceMut::new(buf)];
        answer(preadv2(
            fd,
            &mut bufs,
            CURRENT_POSITION,
            ReadWriteFlags::NOWAIT,
        ))
    }

    pub(super) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> Option<io::Result<usize>> {
        let bufs = [IoSlice::new(buf)];
        answer(pwritev2(
            fd,
            &bufs,
            CURRENT_POSITION,
            ReadWriteFlags::NOWAIT,
        ))
    }

    /// The device number of all terminals as their emulators have them. Opening it creates another
    /// terminal.
    const PTMX: (u32, u32) = (5, 2);

    /// Opens the terminal or pipe `fd` anew, so that the mode of the new description is its own.
    pub(super) fn reopen(fd: BorrowedFd<'_>, direction: Direction) -> Option<OwnedFd> {
        let before = rustix::fs::fstat(fd).ok()?;
        let device = before.st_rdev;
        if (rustix::fs::major(device), rustix::fs::minor(device)) == PTMX {
            return None;
        }
        let mode = match direction {
            Direction::Read => OFlags::RDONLY,
            Direction::Write => OFlags::WRONLY,
        };
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = mode | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let own = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        // Another file may have the same number by now.
        let after = rustix::fs::fstat(&own).ok()?;
        let is_same = (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino);
        (is_same && after.st_rdev == device).then_some(own)
    }

    fn answer(result: Result<usize, Errno>) -> Option<io::Result<usize>> {
        match result {
            Ok(n) => Some(Ok(n)),
            Err(error @ (Errno::AGAIN | Errno::INTR | Errno::PIPE | Errno::BADF)) => {
                Some(Err(error.into()))
            }
            // Not for this kind of descriptor, not in this kernel, or forbidden in a container. If
            // it is another error, the ordinary call returns it too.
            Err(_) => None,
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod nowait {
    use std::io;
    use std::os::fd::{BorrowedFd, OwnedFd};

    use rustix::fs::Stat;

    use crate::reactor::Direction;

    pub(super) fn is_memory(_: &Stat) -> bool {
        false
    }

    pub(super) fn read(_: BorrowedFd<'_>, _: &mut [u8]) -> Option<io::Result<usize>> {
        None
    }

    pub(super) fn write(_: BorrowedFd<'_>, _: &[u8]) -> Option<io::Result<usize>> {
        None
    }

    pub(super) fn reopen(_: BorrowedFd<'_>, _: Direction) -> Option<OwnedFd> {
        None
    }
}
