//! `Framer`: cuts a body into pieces and frames them, for a body of any kind.

use std::io::{self, Write};
use std::mem;

/// The maximum number of bytes of a body that are sent at a time.
pub(super) const PIECE: usize = 16 * 1024;

/// The framing of a sent body, which marks its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    Nothing,
    Length(u64),
    Chunked,
    Close,
}

impl BodyFraming {
    pub(crate) fn write_header(self, out: &mut Vec<u8>) {
        match self {
            Self::Nothing | Self::Close => {}
            Self::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                write_decimal_line(out, length);
            }
            Self::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
}

/// Appends `number` in digits, and the end of the line. The formatting of std takes several times as
/// long.
fn write_decimal_line(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = *b"00000000000000000000\r\n";
    let mut at = digits.len() - 2;
    loop {
        at -= 1;
        digits[at] += (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Sends a body in pieces, the first one together with what `out` holds already.
pub(super) struct Framer<'a, W> {
    out: &'a mut Vec<u8>,
    /// The number of bytes that the `Content-Length` leaves.
    left: Option<u64>,
    is_chunked: bool,
    /// Whether the last write was interrupted.
    is_behind: bool,
    write: W,
}

impl<'a, W: FnMut(&[u8]) -> io::Result<()>> Framer<'a, W> {
    pub(super) fn new(out: &'a mut Vec<u8>, framing: BodyFraming, write: W) -> Self {
        let left = match framing {
            BodyFraming::Nothing => Some(0),
            BodyFraming::Length(length) => Some(length),
            BodyFraming::Chunked | BodyFraming::Close => None,
        };
        Self {
            out,
            left,
            is_chunked: framing == BodyFraming::Chunked,
            is_behind: false,
            write,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.left == Some(0)
    }

    /// Appends a piece. `fill` appends its bytes to the vector, at most the given number of them.
    /// Returns their number.
    pub(super) fn piece(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let at = self.out.len();
        if self.is_chunked {
            // Four digits are enough for a piece. They are filled in once its size is known.
            self.out.extend_from_slice(b"0000\r\n");
        }
        let max = self
            .left
            .map_or(PIECE, |left| left.min(PIECE as u64) as usize);
        let size = fill(self.out, max).inspect_err(|_| self.out.truncate(at))?;
        if size == 0 {
            self.out.truncate(at);
            return Ok(0);
        }
        if self.is_chunked {
            self.out[at..at + 4].copy_from_slice(format!("{size:04x}").as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
        self.left = self.left.map(|left| left - size as u64);
        Ok(size)
    }

    /// Sends the pieces.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() && !self.is_behind {
            return Ok(());
        }
        // If the write unwinds, its caller has what is left. The next one sends that first.
        let mut out = mem::take(self.out);
        self.is_behind = true;
        (self.write)(&out)?;
        self.is_behind = false;
        out.clear();
        *self.out = out;
        Ok(())
    }

    /// Appends the end of the body.
    pub(super) fn finish(self) -> io::Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            let message = "the body ended before its `Content-Length`";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        if self.is_chunked {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }
}

/// What the callback of a body writes to. A flush sends what was written.
pub(super) struct BodyWriter<'a, W> {
    framer: Framer<'a, W>,
    piece: Vec<u8>,
}

impl<'a, W: FnMut(&[u8]) -> io::Result<()>> BodyWriter<'a, W> {
    pub(super) const fn new(framer: Framer<'a, W>) -> Self {
        Self {
            framer,
            piece: Vec::new(),
        }
    }

    fn end_piece(&mut self) -> io::Result<()> {
        let mut rest = self.piece.as_slice();
        while !rest.is_empty() {
            let size = self.framer.piece(|out, max| {
                let size = rest.len().min(max);
                out.extend_from_slice(&rest[..size]);
                Ok(size)
            })?;
            if size == 0 {
                let message = "the body is longer than its `Content-Length`";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            rest = &rest[size..];
        }
        self.piece.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.end_piece()?;
        self.framer.finish()
    }
}

impl<W: FnMut(&[u8]) -> io::Result<()>> Write for BodyWriter<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.piece.len();
        let written = buf.len().min(room);
        self.piece.extend_from_slice(&buf[..written]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_piece()?;
        self.framer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::write_decimal_line;

    #[test]
    fn a_number_is_written_in_digits() {
        for number in [0, 1, 9, 10, 99, 100, 12345, u64::MAX] {
            let mut out = Vec::new();
            write_decimal_line(&mut out, number);
            assert_eq!(out, format!("{number}\r\n").as_bytes());
        }
    }
}
