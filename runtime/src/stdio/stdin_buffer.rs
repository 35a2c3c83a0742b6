//! `StdinBuffer`: what has been read from standard input and not been taken yet.
//!
//! A whole message, such as a line, is taken only when all of it is in the buffer. A reader that is
//! killed or times out while it waits for the rest therefore loses nothing.

use std::io::{self, Read};

use crate::io::Green;
use crate::thread::charge;

/// The number of bytes that one read asks for at least.
const CAPACITY: usize = 8 * 1024;

/// The number of bytes that one read asks for at most. More would keep other green threads from
/// running if the input is a file.
const PIECE: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct StdinBuffer {
    /// Storage, of which `start..end` holds data.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl StdinBuffer {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Returns the data that is there already.
    pub(super) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Removes the first `n` bytes of the data.
    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            // A long message needed a large buffer.
            if self.bytes.len() > CAPACITY {
                self.bytes.truncate(CAPACITY);
                self.bytes.shrink_to_fit();
            }
        }
    }

    /// Reads more data behind the data that is there. Returns the number of bytes read, which is
    /// zero at the end of the stream.
    pub(super) fn read_more(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            let more = self.end.clamp(CAPACITY, PIECE);
            self.bytes.resize(self.end + more, 0);
        }
        let n = read_descriptor(&mut self.bytes[self.end..])?;
        self.end += n;
        Ok(n)
    }

    /// Reads data if there is none, and returns it. It is empty at the end of the stream.
    pub(super) fn fill(&mut self) -> io::Result<&[u8]> {
        charge(|| false);
        if self.data().is_empty() {
            self.read_more()?;
        }
        Ok(self.data())
    }

    /// Takes what there is, and reads if there is nothing.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.data().is_empty() && buf.len() >= CAPACITY {
            return read_descriptor(buf);
        }
        let n = self.fill()?.len().min(buf.len());
        buf[..n].copy_from_slice(&self.data()[..n]);
        self.consume(n);
        Ok(n)
    }

    /// Reads until the data begins with a message that ends with `byte`, and returns its length. The
    /// last message may end with the stream.
    pub(super) fn wait_until(&mut self, byte: u8) -> io::Result<usize> {
        charge(|| false);
        let mut searched = 0;
        loop {
            let found = self.data()[searched..].iter().position(|b| *b == byte);
            if let Some(found) = found {
                return Ok(searched + found + 1);
            }
            searched = self.data().len();
            if self.read_more()? == 0 {
                return Ok(searched);
            }
        }
    }

    /// Reads until there are `n` bytes of data, or until the end of the stream.
    pub(super) fn wait_for(&mut self, n: usize) -> io::Result<()> {
        charge(|| false);
        while self.data().len() < n && self.read_more()? > 0 {}
        Ok(())
    }
}

/// Reads from standard input. Like std's, it is at its end if it is closed.
fn read_descriptor(buf: &mut [u8]) -> io::Result<usize> {
    let result = Green::for_one_call(io::stdin()).and_then(|mut stdin| stdin.read(buf));
    super::output::or_if_closed(result, 0)
}
