//! The wire: a connection with a buffer for what comes in, and a deadline for everything.
//!
//! Keeps `[one-deadline]`: no read or write of the stream goes around it.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use evy_net::Stream;
use evy_runtime::lowlevel::now;

use crate::error::ProtocolError;
use crate::head::HeadScanner;
use crate::limits::Limits;

/// How long a read or write may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IoDeadline {
    /// All of them together; `None` is for ever.
    Total(Option<Instant>),
    /// Each for itself.
    PerCall(Duration),
}

impl IoDeadline {
    /// From now on; what lies beyond the clock is for ever.
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
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the peer took longer than it was given",
    )
}

/// A connection with an input buffer, which messages share: what was read beyond one belongs to
/// the next.
#[derive(Debug)]
pub(crate) struct BufferedStream<S> {
    pub(crate) stream: S,
    pub(crate) deadline: IoDeadline,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl<S: Stream> BufferedStream<S> {
    /// The size of the buffer at first; it grows for a longer head only.
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

    /// What has been read from the stream and not been consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end);
    }

    /// Reads once into the buffer; 0 is the end of the stream.
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

    /// What is buffered, else what one read of the stream yields.
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

    /// The length of the head at the start of the buffer, read until it is whole; `None` if the
    /// stream ends before its first byte.
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

    /// Consumes a line of at most `limit` bytes and its CRLF, and has `parse` look at it.
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

pub(crate) fn unexpected_eof() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed in the middle of a message",
    )
}
