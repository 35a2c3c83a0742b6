//! `Body`: what a message carries.

use std::fmt;
use std::io::{self, Cursor, Read};

/// The body of a request or a response: bytes at hand, or a reader.
///
/// One that was received is read from its connection as it comes; reading parks.
///
/// # Examples
///
/// ```
/// use evy_net::http::Body;
///
/// assert_eq!(Body::from("hello").into_text()?, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Body {
    reader: Box<dyn Read>,
    length: Option<u64>,
}

impl Body {
    /// Nothing. Never parks.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            reader: Box::new(io::empty()),
            length: Some(0),
        }
    }

    /// Whatever `reader` gives, up to its end; its length is not known before. Never parks itself.
    pub fn from_reader(reader: impl Read + 'static) -> Self {
        Self {
            reader: Box::new(reader),
            length: None,
        }
    }

    pub(super) fn sized(reader: impl Read + 'static, length: Option<u64>) -> Self {
        Self {
            reader: Box::new(reader),
            length,
        }
    }

    /// How many bytes there are, if that is known beforehand. Never parks.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Reads it to the end. Parks until that has come.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` for a body that was cut off; `FileTooLarge` for more than the limit of the
    /// client or server that received it; `TimedOut`; the connection's.
    pub fn into_bytes(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// As [`into_bytes`](Self::into_bytes), for text in UTF-8.
    ///
    /// # Errors
    ///
    /// Besides, `InvalidData` for what is no UTF-8.
    pub fn into_text(self) -> io::Result<String> {
        let utf8 = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        String::from_utf8(self.into_bytes()?).map_err(utf8)
    }
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self::sized(Cursor::new(bytes), Some(length))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::sized(text.as_bytes(), Some(text.len() as u64))
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Fails where more than `left` bytes come.
pub(super) struct Limited<R> {
    pub(super) inner: R,
    pub(super) left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let over = || io::Error::new(io::ErrorKind::FileTooLarge, "the body is over the limit");
        self.left = self.left.checked_sub(n as u64).ok_or_else(over)?;
        Ok(n)
    }
}
