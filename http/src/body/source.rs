//! `Source`: what a body is read from, and the buffer that makes it `BufRead`.

use std::io::{self, BufRead, Read};

use http::HeaderMap;

/// The size of the buffer, which is allocated when it is first needed.
const BUFFER: usize = 8 * 1024;

/// A reader of a body. One that reads from a connection can do more than read.
pub(crate) trait Source: Read {
    /// Makes reading fail beyond `bytes` more bytes. Returns `false` if the source cannot do that.
    fn limit(&mut self, _bytes: u64) -> bool {
        false
    }

    /// Sends `100 Continue` to a client that understands it.
    fn send_continue(&mut self, _headers: &HeaderMap) -> io::Result<()> {
        Ok(())
    }

    /// Takes the trailers that came after the body.
    fn take_trailers(&mut self) -> Option<HeaderMap> {
        None
    }
}

/// A reader of the program.
pub(super) struct Plain<R>(pub(super) R);

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<R: Read> Source for Plain<R> {}

/// A source, how many bytes are left, if that is known, and a buffer.
pub(super) struct BodyReader {
    pub(super) source: Box<dyn Source>,
    left: Option<u64>,
    buffer: Vec<u8>,
    /// The part of the buffer that has not been read.
    start: usize,
    end: usize,
}

impl BodyReader {
    pub(super) const fn new(source: Box<dyn Source>, left: Option<u64>) -> Self {
        Self {
            source,
            left,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Returns the number of bytes left, if it is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.left.map(|left| left + (self.end - self.start) as u64)
    }

    /// Limits what is left; see [`Source::limit`].
    pub(super) fn limit(&mut self, bytes: u64) -> bool {
        let buffered = (self.end - self.start) as u64;
        bytes >= buffered && self.source.limit(bytes - buffered)
    }

    fn read_source(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buf)?;
        self.left = self.left.map(|left| left.saturating_sub(read as u64));
        Ok(read)
    }
}

impl Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            return self.read_source(buf);
        }
        let read = (&self.buffer[self.start..self.end]).read(buf)?;
        self.start += read;
        Ok(read)
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(BUFFER, 0);
            let read = self.read_source(&mut buffer);
            self.buffer = buffer;
            (self.start, self.end) = (0, 0);
            self.end = read?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.end);
    }
}
