//! Copying between two sockets inside the kernel: splice(2) moves bytes from the first one into a
//! pipe, and from there to the second one.
//!
//! A write to a socket whose peer is gone raises SIGPIPE, and splice(2) has no flag against that. So
//! it is used only while the process ignores the signal.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use evy_runtime::io::Sharing;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, pipe_with, splice};

use crate::raw::{downcast_ref, is_sigpipe_ignored};
use crate::socket::{Socket, StdStream};
use crate::stream::Stream;
use crate::tcp::TcpStream;
use crate::unix::UnixStream;

/// The capacity of an ordinary pipe. The system gives smaller ones to a user with many, and with
/// those, copying through a buffer is faster.
const CAPACITY: usize = 64 << 10;

/// Copies for as long as that is possible inside the kernel, and adds the number of bytes that were
/// written to `copied`. The caller continues where this function ends; an error is final.
pub(super) fn transfer<R, W>(reader: &R, writer: &W, copied: &Cell<u64>) -> io::Result<()>
where
    R: ?Sized,
    W: ?Sized,
{
    let (Some(from), Some(to)) = (end(reader), end(writer)) else {
        return Ok(());
    };
    let Some(pipe) = Pipe::new().filter(|_| is_sigpipe_ignored()) else {
        return Ok(());
    };
    loop {
        let mut left = match from.fill(&pipe) {
            // That is the end of the stream, or urgent data, which only an ordinary read passes.
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if is_unsupported(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        while left > 0 {
            let len = to.drain(&pipe, left)?;
            copied.set(copied.get() + len as u64);
            left -= len;
        }
    }
}

/// A pipe that is empty between two pieces.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    capacity: usize,
}

impl Pipe {
    /// Returns `None` if no descriptors are left, or no pipe of the usual size.
    fn new() -> Option<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let capacity = fcntl_getpipe_size(&writer).ok()?;
        let pipe = Self {
            reader,
            writer,
            capacity,
        };
        Some(pipe).filter(|pipe| pipe.capacity >= CAPACITY)
    }
}

/// One end of a copy.
trait End {
    /// Moves bytes from the socket into an empty pipe. Parks until there are some.
    fn fill(&self, pipe: &Pipe) -> io::Result<usize>;

    /// Moves some of the `left` bytes that are in the pipe to the socket. Parks until there is room.
    fn drain(&self, pipe: &Pipe, left: usize) -> io::Result<usize>;
}

impl<T: StdStream> End for Socket<T>
where
    for<'a> &'a T: Read + Write,
{
    fn fill(&self, pipe: &Pipe) -> io::Result<usize> {
        let op = |socket: &T| {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(
                socket,
                None,
                &pipe.writer,
                None,
                pipe.capacity,
                flags,
            )?)
        };
        self.read_with(Sharing::Exclusive, op, |_| false)
    }

    fn drain(&self, pipe: &Pipe, left: usize) -> io::Result<usize> {
        let op = |socket: &T| {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(&pipe.reader, None, socket, None, left, flags)?)
        };
        self.write_with(Sharing::Exclusive, op, |_| false)
    }
}

/// Returns `stream` as one end of a copy, if it is a socket.
fn end<S: ?Sized>(stream: &S) -> Option<&dyn End> {
    if let Some(boxed) = downcast_ref::<Box<dyn Stream>, S>(stream) {
        let content: &dyn Any = &**boxed;
        return match content.downcast_ref::<TcpStream>() {
            Some(stream) => end(stream),
            None => end(content.downcast_ref::<UnixStream>()?),
        };
    }
    if let Some(stream) = downcast_ref::<TcpStream, S>(stream) {
        return Some(&stream.0);
    }
    let stream = downcast_ref::<UnixStream, S>(stream)?;
    Some(&stream.0)
}

/// Whether the system does not splice from this socket, or not at all.
fn is_unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| {
        [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM].contains(&errno)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor, Read};

    use super::end;
    use crate::stream::Stream;
    use crate::unix::UnixStream;

    #[test]
    fn a_socket_is_found_behind_references_and_in_a_box() {
        let (mut socket, other) = UnixStream::pair().expect("the system has descriptors");
        assert!(end(&socket).is_some());
        assert!(end(&&socket).is_some());
        assert!(end(&&mut socket).is_some());
        let mut boxed: Box<dyn Stream> = Box::new(other);
        assert!(end(&boxed).is_some());
        assert!(end(&&mut boxed).is_some());
    }

    #[test]
    fn nothing_else_is_taken_for_a_socket() {
        let (mut socket, _other) = UnixStream::pair().expect("the system has descriptors");
        assert!(end(&Cursor::new([0])).is_none());
        assert!(end(&BufReader::new(&socket)).is_none());
        assert!(end(&(&socket).take(1)).is_none());
        let reader: &mut dyn Read = &mut socket;
        assert!(end(reader).is_none());
        assert!(end(&reader).is_none());
    }
}
