//! `BufferedStream`: a connection with an input buffer, and a deadline for all reads and writes.
//!
//! It keeps `[one-deadline]`, because every read and write of the stream goes through it.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use evy_net::Stream;
use evy_runtime::lowlevel::now;

use crate::error::ProtocolError;
use crate::head::HeadScanner;
use crate::limits::Limits;

/// The time limit of reads and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IoDeadline {
    /// One deadline for all calls together. `None` means without limit.
    Total(Option<Instant>),
    /// A timeout for each call.
    PerCall(Duration),
}

impl IoDeadline {
    /// Returns a deadline for all calls, `timeout` from now. If the clock cannot represent it,
    /// there is no limit.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self::Total(now().checked_add(timeout))
    }

    pub(crate) fn remaining(self) -> io::Result<Option<Duration>> {
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
    io::Error::new(io::ErrorKind::TimedOut, "the peer took too long")
}

/// A connection with an input buffer. Successive messages share it: bytes read beyond the end of
/// one message belong to the next.
#[derive(Debug)]
pub(crate) struct BufferedStream<S> {
    pub(crate) stream: S,
    pub(crate) deadline: IoDeadline,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl<S: Stream> BufferedStream<S> {
    /// The initial size of the buffer, which grows only for a longer head.
    const BUFFER: usize = 8 * 1024;

    pub(crate) fn new(stream: S, deadline: IoDeadline) -> Self {
        Self {
            stream,
            deadline,
            input: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Returns the bytes that have been read from the stream but not consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end);
    }

    /// Reads from the stream into the buffer once. Returns 0 at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
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

    /// Reads from the buffer or, if it is empty, once from the stream.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
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

    /// Reads until the head at the start of the buffer is complete, and returns its length. Returns
    /// `None` if the stream ends before the first byte of the head.
    pub(crate) fn head(&mut self, limits: &Limits) -> io::Result<Option<usize>> {
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

    /// Parses a line of at most `limit` bytes with `parse`, and consumes it together with its CRLF.
    pub(crate) fn line<T>(
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

    pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
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

/// Repeats `attempt` for as long as signals interrupt it. A timeout of the socket is always
/// returned as `TimedOut`, even if the socket reports `WouldBlock`.
fn retry<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        return match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(timed_out()),
            result => result,
        };
    }
}

pub(crate) fn unexpected_eof() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed the connection in the middle of a message",
    )
}
