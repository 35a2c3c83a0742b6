//! `MockStream`: an in-memory peer.

use evy_net::Stream;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

/// A stream that yields one piece after another. Then it yields the end of the stream or, if
/// `would_block` is set, `WouldBlock`.
#[derive(Debug, Default)]
pub struct MockStream {
    /// What is left to read. A read returns bytes of one piece only.
    pub pieces: VecDeque<Vec<u8>>,
    /// Whether the last piece is followed by `WouldBlock`.
    pub would_block: bool,
    /// The number of reads.
    pub reads: Rc<Cell<usize>>,
    /// What each write has written.
    pub writes: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl MockStream {
    /// Returns a stream that yields `pieces` and then its end.
    #[must_use]
    pub fn new(pieces: &[&[u8]]) -> Self {
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
            None if self.would_block => Err(io::ErrorKind::WouldBlock.into()),
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

    fn close_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}
