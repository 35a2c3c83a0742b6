//! A connection with a buffer for what was read ahead, and a deadline for what is awaited.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::now;

use crate::tcp::TcpStream;

/// How much one read asks for.
const CHUNK: usize = 16 * 1024;

/// A stream, and the bytes of it that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Conn<S> {
    pub(super) stream: S,
    buf: Vec<u8>,
    start: usize,
}

impl<S: Read> Conn<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            buf: Vec::new(),
            start: 0,
        }
    }

    /// What was read ahead.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.buf.len());
        if self.start == self.buf.len() {
            self.buf.clear();
            self.start = 0;
        }
    }

    /// Reads ahead some more; `0` at the end of the stream. Parks until there is something.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        let len = self.buf.len();
        self.buf.resize(len + CHUNK, 0);
        let read = loop {
            match self.stream.read(&mut self.buf[len..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buf.truncate(len + read.as_ref().map_or(0, |n| *n));
        read
    }

    /// Reads up to `out.len()` bytes; `0` at the end of the stream.
    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() {
            // What does not fit the buffer's purpose goes past it.
            if out.len() >= CHUNK {
                return self.stream.read(out);
            }
            if self.fill()? == 0 {
                return Ok(0);
            }
        }
        let n = out.len().min(self.buffered().len());
        out[..n].copy_from_slice(&self.buffered()[..n]);
        self.consume(n);
        Ok(n)
    }

    /// A line of at most `limit` bytes, without its CR LF.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a longer line and for a bare LF; `UnexpectedEof`.
    pub(super) fn read_line(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        loop {
            let seen = self.buffered();
            if let Some(end) = seen.iter().take(limit + 2).position(|byte| *byte == b'\n') {
                let line = seen[..end].strip_suffix(b"\r").map(<[u8]>::to_vec);
                self.consume(end + 1);
                return line.ok_or_else(|| invalid("a line ends without a carriage return"));
            }
            if seen.len() > limit + 1 {
                return Err(invalid("a line is too long"));
            }
            if self.fill()? == 0 {
                return Err(truncated());
            }
        }
    }
}

/// A socket whose waits end at a deadline, however slowly the other side drips.
#[derive(Debug)]
pub(super) struct Timed {
    stream: TcpStream,
    deadline: Cell<Option<Instant>>,
}

impl Timed {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            deadline: Cell::new(None),
        }
    }

    fn limit(&self) -> io::Result<()> {
        let left = match self.deadline.get() {
            None => None,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(now());
                if left.is_zero() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the time is up"));
                }
                Some(left)
            }
        };
        self.stream.set_read_timeout(left)?;
        self.stream.set_write_timeout(left)
    }
}

/// What HTTP runs over, besides reading and writing.
pub(super) trait Transport: Read + Write {
    /// When reads and writes are to give up; `None`: never.
    fn set_deadline(&self, deadline: Option<Instant>);

    /// Ends our half and lets the other side finish: closed with unread data, a connection would be
    /// reset, and the last answer with it be lost.
    fn linger(&mut self);
}

impl Transport for Timed {
    fn set_deadline(&self, deadline: Option<Instant>) {
        self.deadline.set(deadline);
    }

    fn linger(&mut self) {
        const MOST: usize = 1024 * 1024;
        self.set_deadline(now().checked_add(Duration::from_secs(1)));
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let (mut buf, mut total) = (vec![0; CHUNK], 0);
        while let Ok(n @ 1..) = self.read(&mut buf) {
            total += n;
            if total > MOST {
                return;
            }
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        self.stream.read(buf)
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.limit()?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

pub(super) fn truncated() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the connection ended in the middle of a message",
    )
}
