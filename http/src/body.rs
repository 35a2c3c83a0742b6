//! Bodies: what a message carries, and how it is sent.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

/// The most that is taken from a reader before it is sent on.
const READ_CHUNK: usize = 16 * 1024;

/// A body in memory up to this size is copied behind its head, and both leave in one write.
const MAX_COALESCED_BODY: usize = 64 * 1024;

/// What a message carries: bytes in memory, or a reader.
///
/// A body that was received is read from its connection. Reading parks until there are bytes, and
/// fails with `UnexpectedEof` if the peer closes too early, `TimedOut`, or `InvalidData` for broken
/// framing and for more than `max_body_bytes`.
///
/// # Examples
///
/// ```
/// use evy::http::Body;
///
/// assert_eq!(Body::from("hello").into_text()?, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Body(Source);

enum Source {
    /// And how much of it has been read.
    Bytes(Cow<'static, [u8]>, usize),
    /// And how much is left, if that is known.
    Reader(Box<dyn Read>, Option<u64>),
}

impl Body {
    /// Nothing. Never parks.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Source::Bytes(Cow::Borrowed(&[]), 0))
    }

    /// What `reader` yields until its end, read as it is sent. Never parks.
    ///
    /// It is sent in chunks, each read at once, unless its message has a `Content-Length`: then just
    /// as much as that must be in it. The head leaves with the first chunk.
    #[must_use]
    pub fn from_reader(reader: impl Read + 'static) -> Self {
        Self(Source::Reader(Box::new(reader), None))
    }

    /// A reader whose length is known to the one who decodes it.
    pub(crate) fn received(reader: impl Read + 'static, length: Option<u64>) -> Self {
        Self(Source::Reader(Box::new(reader), length))
    }

    /// How many bytes are left to be read, if that is known. Never parks.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Source::Bytes(bytes, at) => Some((bytes.len() - at) as u64),
            Source::Reader(_, left) => *left,
        }
    }

    /// All that is left of it. Parks until the end has come.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Source::Bytes(bytes, 0) => Ok(bytes.into_owned()),
            Source::Bytes(bytes, at) => Ok(bytes[at..].to_vec()),
            Source::Reader(mut reader, left) => {
                // A length is only what the peer says: no more than a block on its word.
                let expected = left.map_or(0, |left| left.min(READ_CHUNK as u64));
                let mut bytes = Vec::with_capacity(expected as usize);
                reader.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// All that is left of it, as text. Parks until the end has come.
    ///
    /// # Errors
    ///
    /// Those of reading; `InvalidData` if it is not UTF-8.
    pub fn into_text(self) -> io::Result<String> {
        String::from_utf8(self.into_bytes()?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.0, Source::Bytes(..))
    }

    /// Sends `out`, which holds the head, and then itself. Leaves `out` empty.
    pub(crate) fn send(
        &mut self,
        out: &mut Vec<u8>,
        framing: BodyFraming,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match (framing, &self.0) {
            (BodyFraming::Nothing, _) => write(out)?,
            (_, Source::Bytes(bytes, at)) => {
                // Not consumed: the client may have to send it again.
                let rest = &bytes[*at..];
                if rest.len() <= MAX_COALESCED_BODY {
                    out.extend_from_slice(rest);
                    write(out)?;
                } else {
                    write(out)?;
                    write(rest)?;
                }
            }
            (BodyFraming::Length(length), _) => self.send_exactly(length, out, write)?,
            (BodyFraming::Chunked, _) => while self.send_chunk(out, &mut write)? {},
            (BodyFraming::Close, _) => loop {
                let at = out.len();
                let read = self.append(out, READ_CHUNK)?;
                if out.len() > at || at > 0 {
                    write(out)?;
                }
                out.clear();
                if read == 0 {
                    break;
                }
            },
        }
        out.clear();
        Ok(())
    }

    fn send_exactly(
        &mut self,
        length: u64,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let read = self.append(out, left.min(READ_CHUNK as u64) as usize)?;
            if read == 0 {
                let message = "the body ended before its `Content-Length`";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            left -= read as u64;
            write(out)?;
            out.clear();
        }
        if length == 0 { write(out) } else { Ok(()) }
    }

    /// Whether there may be another.
    fn send_chunk(
        &mut self,
        out: &mut Vec<u8>,
        write: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        // Four digits are enough for a block; they are filled in once its size is known.
        let at = out.len();
        out.extend_from_slice(b"0000\r\n");
        let read = self.append(out, READ_CHUNK)?;
        if read == 0 {
            out.truncate(at);
            out.extend_from_slice(b"0\r\n\r\n");
        } else {
            out[at..at + 4].copy_from_slice(format!("{read:04x}").as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        write(out)?;
        out.clear();
        Ok(read > 0)
    }

    /// Reads once, behind what `out` holds.
    fn append(&mut self, out: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let at = out.len();
        out.resize(at + most, 0);
        let read = loop {
            match self.read(&mut out[at..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        out.truncate(at + read.as_ref().map_or(0, |read| *read));
        read
    }
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Source::Bytes(bytes, at) => {
                let read = (&bytes[*at..]).read(buf)?;
                *at += read;
                Ok(read)
            }
            Source::Reader(reader, left) => {
                let read = reader.read(buf)?;
                *left = left.map(|left| left.saturating_sub(read as u64));
                Ok(read)
            }
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Source::Bytes(Cow::Borrowed(bytes), 0))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Source::Bytes(Cow::Owned(bytes), 0))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

/// How the end of a body that is sent is told.
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
                out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
            }
            Self::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
}
