//! `Incoming`: the bytes that were received and not yet decrypted.
//!
//! They are read into a buffer of our own, and not by rustls, for two reasons. The session is not
//! locked while a green thread waits for bytes. And rustls asks for
//! 4 KiB at a time, which is five system calls for a full record.

use std::cell::Cell;
use std::io::{self, Read};
use std::mem;

use rustls::{Connection, Reader};

use crate::error;
use crate::timeout::Deadline;

/// The size of the buffer of a stream that receives little, and of one that receives much.
const MIN_SIZE: usize = 4 << 10;
const MAX_SIZE: usize = 32 << 10;

/// The length of a record's header. rustls cannot do anything with less.
pub(crate) const HEADER_LEN: usize = 5;

thread_local! {
    /// A buffer of the smaller size that an idle stream of this OS thread has given up. A server of
    /// many connections that are mostly idle needs few.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The bytes that were received and not yet decrypted: `buf[start..end]`.
///
/// It is consistent whenever a read parks, so a kill or a timeout loses nothing.
#[derive(Debug)]
pub(crate) struct Incoming {
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// How large the buffer should be for the next read.
    size: usize,
    /// Whether rustls has got anything.
    has_fed: bool,
    /// Whether the session may have failed, so that it is to be asked.
    may_have_failed: bool,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self {
            buf: Vec::new(),
            start: 0,
            end: 0,
            size: MIN_SIZE,
            has_fed: false,
            may_have_failed: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns the first bytes of the connection, until rustls gets them.
    pub(crate) fn first_bytes(&self) -> Option<&[u8]> {
        (!self.has_fed).then(|| &self.buf[self.start..self.end])
    }

    /// Gives up the buffer, if it holds nothing, and makes that of rustls as small as it can be.
    pub(crate) fn release(&mut self, connection: &mut Connection) {
        if self.is_empty() {
            let buf = mem::take(&mut self.buf);
            if buf.len() == MIN_SIZE {
                // After the end of the OS thread's locals it is freed.
                SPARE.try_with(|spare| spare.set(buf)).ok();
            }
            // rustls does it before each read.
            connection.read_tls(&mut NoBytesYet).ok();
        }
    }

    /// Reads from the transport, and returns the number of bytes; zero is the end.
    ///
    /// Parks until there are bytes.
    pub(crate) fn fill(
        &mut self,
        io: &mut impl evy_net::Stream,
        deadline: Deadline,
    ) -> io::Result<usize> {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            self.resize();
        }
        loop {
            deadline.apply(|left| io.set_read_timeout(left))?;
            match io.read(&mut self.buf[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    self.adapt(read);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the buffer the size that is wanted. An idle stream should keep little memory.
    fn resize(&mut self) {
        if self.buf.len() > self.size {
            self.buf = Vec::new();
        }
        if self.buf.is_empty() && self.size == MIN_SIZE {
            self.buf = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        self.buf.resize(self.size, 0);
    }

    /// Grows with a stream that fills the buffer, and shrinks with one that uses little of it.
    fn adapt(&mut self, read: usize) {
        if self.end == self.buf.len() {
            self.size = (self.size * 2).min(MAX_SIZE);
        } else if read < self.size / 4 {
            self.size = MIN_SIZE;
        }
    }

    /// Passes some bytes to rustls, which processes the records that are complete. An error of a
    /// record is kept by rustls.
    ///
    /// # Errors
    ///
    /// Returns an error if rustls takes nothing.
    pub(crate) fn feed(&mut self, connection: &mut Connection) -> io::Result<()> {
        let mut unread = &self.buf[self.start..self.end];
        let taken = connection.read_tls(&mut unread)?;
        if taken == 0 {
            return Err(io::Error::other("rustls takes no more bytes"));
        }
        self.has_fed = true;
        self.start += taken;
        // Plaintext of earlier records comes first. Then the error is asked for. Code of the program
        // may unwind here, which fails the session too.
        self.may_have_failed = true;
        self.may_have_failed = connection.process_new_packets().is_err();
        Ok(())
    }

    /// Decrypts what has been received, and calls `take` with the plaintext. Returns `None` if more
    /// bytes are needed first. After `has_filled`, rustls has no plaintext of before.
    ///
    /// # Errors
    ///
    /// Returns `UnexpectedEof` after an end without `close_notify`, and the error of the session.
    pub(crate) fn decrypt<R>(
        &mut self,
        connection: &mut Connection,
        has_filled: bool,
        mut take: impl FnMut(Reader<'_>) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        if has_filled && let Err(error) = self.feed(connection) {
            return Some(Err(error));
        }
        loop {
            match take(connection.reader()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Some(Err(error::truncated()));
                }
                outcome => return Some(outcome),
            }
            if self.may_have_failed
                && let Err(error) = error::check(connection)
            {
                return Some(Err(error));
            }
            if self.is_empty() {
                return None;
            }
            if let Err(error) = self.feed(connection) {
                return Some(Err(error));
            }
        }
    }
}

/// A transport on which nothing has arrived.
struct NoBytesYet;

impl Read for NoBytesYet {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
