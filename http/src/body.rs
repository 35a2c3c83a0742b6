//! `Body`: the body of a message, and how it is sent.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

/// The maximum number of bytes that are read from a reader before they are sent.
const READ_CHUNK: usize = 16 * 1024;

/// The maximum size of an in-memory body that is copied behind its head, so that one write sends
/// both.
const MAX_COALESCED_BODY: usize = 64 * 1024;

/// The body of a message: bytes in memory, or a reader.
///
/// A received body is read from its connection. A read can fail with these errors:
///
/// - `UnexpectedEof` if the peer closes the connection too early.
/// - `TimedOut` if a timeout passes.
/// - `InvalidData` if the framing is malformed, or if the body is longer than `max_body_bytes`.
///
/// A read of a received body parks until there are bytes. Besides reading, only the methods that
/// say so park.
///
/// # Examples
///
/// ```
/// use evy::http::Body;
///
/// assert_eq!(Body::from("hello").into_text()?, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Body(Content);

enum Content {
    /// The bytes, and how many of them have been read.
    Bytes(Cow<'static, [u8]>, usize),
    /// The reader, and how many bytes are left, if that is known.
    Reader(Box<dyn Read>, Option<u64>),
}

impl Body {
    /// Creates an empty body.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Content::Bytes(Cow::Borrowed(&[]), 0))
    }

    /// Creates a body that is streamed from `reader`.
    ///
    /// `reader` is read to its end while the message is sent. Each read is sent as one chunk, and
    /// the head is sent together with the first one. If the message has a `Content-Length`, the
    /// body is not sent in chunks, and `reader` must yield exactly that many bytes.
    #[must_use]
    pub fn from_reader(reader: impl Read + 'static) -> Self {
        Self(Content::Reader(Box::new(reader), None))
    }

    /// Creates the body of a received message. `length` is the number of bytes left, if the decoder
    /// knows it.
    pub(crate) fn received(reader: impl Read + 'static, length: Option<u64>) -> Self {
        Self(Content::Reader(Box::new(reader), length))
    }

    /// Returns the number of bytes left to read, if it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Content::Bytes(bytes, at) => Some((bytes.len() - at) as u64),
            Content::Reader(_, left) => *left,
        }
    }

    /// Reads the rest of the body.
    ///
    /// Parks until the body has been read to its end.
    ///
    /// # Errors
    ///
    /// Returns an error as reading does.
    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Content::Bytes(bytes, 0) => Ok(bytes.into_owned()),
            Content::Bytes(bytes, at) => Ok(bytes[at..].to_vec()),
            Content::Reader(mut reader, left) => {
                // The length is only a claim of the peer, so no more than one chunk is allocated
                // in advance.
                let expected = left.map_or(0, |left| left.min(READ_CHUNK as u64));
                let mut bytes = Vec::with_capacity(expected as usize);
                reader.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Reads the rest of the body as text.
    ///
    /// Parks until the body has been read to its end.
    ///
    /// # Errors
    ///
    /// Returns an error as reading does, and `InvalidData` if the body is not UTF-8.
    pub fn into_text(self) -> io::Result<String> {
        String::from_utf8(self.into_bytes()?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.0, Content::Bytes(..))
    }

    /// Sends `out`, which holds the head, and then the body. Leaves `out` empty.
    pub(crate) fn send(
        &mut self,
        out: &mut Vec<u8>,
        framing: BodyFraming,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match (framing, &self.0) {
            (BodyFraming::Nothing, _) => write(out)?,
            (_, Content::Bytes(bytes, at)) => {
                // The bytes are not consumed, because the client may have to send them again.
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

    /// Sends one chunk. Returns `true` if another one may follow.
    fn send_chunk(
        &mut self,
        out: &mut Vec<u8>,
        write: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        // Four digits are enough for a chunk of `READ_CHUNK` bytes. They are filled in once its
        // size is known.
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

    /// Reads from the body once, and appends up to `max` bytes to `out`.
    fn append(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let at = out.len();
        out.resize(at + max, 0);
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
        if buf.is_empty() {
            return Ok(0);
        }
        match &mut self.0 {
            Content::Bytes(bytes, at) => {
                let read = (&bytes[*at..]).read(buf)?;
                *at += read;
                Ok(read)
            }
            Content::Reader(reader, left) => {
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
        Self(Content::Bytes(Cow::Borrowed(bytes), 0))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Content::Bytes(Cow::Owned(bytes), 0))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

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
                out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
            }
            Self::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
}
