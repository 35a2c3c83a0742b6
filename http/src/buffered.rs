//! The wire: a connection with a buffer for what comes in, and a deadline for everything.
//!
//! Keeps `[one-deadline]`: no read or write of the stream goes around it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::head::{HeadScanner, Limits, ProtocolError};
use crate::tcp::TcpStream;
use evy_runtime::lowlevel::now;

/// What a [`BufferedStream`] runs over: a socket, or memory in tests.
pub(super) trait Stream: Read + Write {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Says that nothing more will be written.
    fn finish(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Self::set_read_timeout(self, timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Self::set_write_timeout(self, timeout)
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// How long a read or write may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum IoDeadline {
    /// All of them together; `None` is for ever.
    Total(Option<Instant>),
    /// Each for itself.
    PerCall(Duration),
}

impl IoDeadline {
    /// From now on; what lies beyond the clock is for ever.
    pub(super) fn after(timeout: Duration) -> Self {
        Self::Total(now().checked_add(timeout))
    }

    pub(super) fn remaining(self) -> io::Result<Option<Duration>> {
        let left = match self {
            Self::Total(None) => return Ok(None),
            Self::Total(Some(deadline)) => deadline.saturating_duration_since(now()),
            Self::PerCall(timeout) => timeout,
        };
        if left.is_zero() {
            Err(timed_out())
        } else {
            Ok(Some(left))
        }
    }
}

fn timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the peer took longer than it was given",
    )
}

/// A connection with an input buffer, which messages share: what was read beyond one belongs to
/// the next.
#[derive(Debug)]
pub(super) struct BufferedStream<S> {
    pub(super) stream: S,
    pub(super) deadline: IoDeadline,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl<S: Stream> BufferedStream<S> {
    /// The size of the buffer at first; it grows for a longer head only.
    const BUFFER: usize = 8 * 1024;

    pub(super) fn new(stream: S, deadline: IoDeadline) -> Self {
        Self {
            stream,
            deadline,
            input: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// What has been read from the stream and not been consumed.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end);
    }

    /// Reads once into the buffer; 0 is the end of the stream.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 && (self.start == self.end || self.end == self.input.len()) {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.input.len() {
            self.input.resize((2 * self.end).max(Self::BUFFER), 0);
        }
        let read = read_stream(&mut self.stream, self.deadline, &mut self.input[self.end..])?;
        self.end += read;
        Ok(read)
    }

    /// What is buffered, else what one read of the stream yields.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            if buf.len() >= Self::BUFFER {
                return read_stream(&mut self.stream, self.deadline, buf);
            }
            self.fill()?;
        }
        let read = self.buffered().read(buf)?;
        self.consume(read);
        Ok(read)
    }

    /// The length of the head at the start of the buffer, read until it is whole; `None` if the
    /// stream ends before its first byte.
    pub(super) fn head(&mut self, limits: &Limits) -> io::Result<Option<usize>> {
        let mut scanner = HeadScanner::default();
        loop {
            if let Some(length) = scanner.advance(self.buffered(), limits)? {
                return Ok(Some(length));
            }
            if self.fill()? == 0 {
                return if self.start == self.end {
                    Ok(None)
                } else {
                    Err(unexpected_eof())
                };
            }
        }
    }

    /// Consumes a line of at most `limit` bytes and its CRLF, and has `parse` look at it.
    pub(super) fn line<T>(
        &mut self,
        limit: usize,
        too_long: ProtocolError,
        parse: impl FnOnce(&[u8]) -> Result<T, ProtocolError>,
    ) -> io::Result<T> {
        let mut seen = 0;
        let length = loop {
            let bytes = self.buffered();
            if let Some(at) = bytes[seen..].iter().position(|&byte| byte == b'\n') {
                break seen + at;
            }
            seen = bytes.len();
            if seen >= limit + 2 {
                return Err(too_long.into());
            }
            if self.fill()? == 0 {
                return Err(unexpected_eof());
            }
        };
        let Some(line) = self.buffered()[..length].strip_suffix(b"\r") else {
            return Err(ProtocolError::malformed("there is a bare LF in a body").into());
        };
        if line.len() > limit {
            return Err(too_long.into());
        }
        if line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(ProtocolError::malformed("there is a NUL or a bare CR in a body").into());
        }
        let value = parse(line)?;
        self.consume(length + 1);
        Ok(value)
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(self.deadline.remaining()?)?;
            match retry(|| self.stream.write(bytes))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }
}

fn read_stream<S: Stream>(
    stream: &mut S,
    deadline: IoDeadline,
    buf: &mut [u8],
) -> io::Result<usize> {
    stream.set_read_timeout(deadline.remaining()?)?;
    retry(|| stream.read(buf))
}

/// Again after a signal; a socket's timeout by its one name.
fn retry<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        return match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(timed_out()),
            result => result,
        };
    }
}

pub(super) fn unexpected_eof() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed in the middle of a message",
    )
}

#[cfg(test)]
pub(super) mod testing {
    //! A peer in memory.

    use super::Stream;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::io::{self, Read, Write};
    use std::rc::Rc;
    use std::time::Duration;

    /// Yields piece after piece, then the end of the stream, or silence if it `stalls`.
    #[derive(Default)]
    pub(in crate::http) struct MockStream {
        pub(in crate::http) pieces: VecDeque<Vec<u8>>,
        pub(in crate::http) stalls: bool,
        pub(in crate::http) reads: Rc<Cell<usize>>,
        pub(in crate::http) writes: Rc<RefCell<Vec<Vec<u8>>>>,
    }

    impl MockStream {
        pub(in crate::http) fn new(pieces: &[&[u8]]) -> Self {
            let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
            Self {
                pieces,
                ..Self::default()
            }
        }
    }

    impl Read for MockStream {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.reads.set(self.reads.get() + 1);
            while self.pieces.front().is_some_and(Vec::is_empty) {
                self.pieces.pop_front();
            }
            match self.pieces.front_mut() {
                Some(piece) => {
                    let read = piece.as_slice().read(buf)?;
                    piece.drain(..read);
                    Ok(read)
                }
                None if self.stalls => Err(io::ErrorKind::WouldBlock.into()),
                None => Ok(0),
            }
        }
    }

    impl Write for MockStream {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.writes.borrow_mut().push(buf.to_vec());
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for MockStream {
        fn set_read_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
            Ok(())
        }

        fn set_write_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
            Ok(())
        }

        fn finish(&self) -> io::Result<()> {
            Ok(())
        }
    }
}
