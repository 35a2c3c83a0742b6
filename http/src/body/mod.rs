//! `Body`: the body of a message, and how it is sent.

mod file;
mod framer;
mod source;

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read, Seek, Write};
use std::mem;

use http::HeaderMap;

use crate::error::ProtocolError;
use crate::upgrade::{UpgradeHandler, Upgraded};
use file::FileSource;
pub(crate) use framer::BodyFraming;
use framer::{BodyWriter, Framer, PIECE};
pub(crate) use source::Source;
use source::{BodyReader, Plain};

/// The maximum size of an in-memory body that is copied behind its head, so that one write sends
/// both.
const MAX_COALESCED_BODY: usize = 64 * 1024;

/// The body of a message: bytes in memory, a reader, or a callback that writes it.
///
/// A body implements `Read` and `BufRead`. A received body is read from its connection. A read can
/// fail with these errors:
///
/// - `UnexpectedEof` if the peer closes the connection too early.
/// - `TimedOut` if a timeout passes.
/// - `InvalidData` if the framing is malformed, or if the body is longer than `max_body_bytes` or
///   its [`limit`](Self::limit).
///
/// A body stays on its OS thread. A read of a received body parks until there are bytes. Besides
/// reading, only the methods that say so park.
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
    Reader(Box<BodyReader>),
    Writer(WriteBody),
    /// What takes over the connection after the head.
    Upgrade(UpgradeHandler),
    /// The connection, after the head of a received response.
    Upgraded(Box<Upgraded>),
}

type WriteBody = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()>>;

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
        Self::from_source(Plain(reader), None)
    }

    /// Creates a body of `length` bytes that is streamed from `reader`.
    ///
    /// If `reader` ends before that, sending the message fails. What comes after that is not read.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::Body;
    /// use std::io::Read;
    ///
    /// let zeros = Body::sized(std::io::repeat(0), 1000);
    /// assert_eq!(zeros.length(), Some(1000));
    /// assert_eq!(zeros.into_bytes()?.len(), 1000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn sized(reader: impl Read + 'static, length: u64) -> Self {
        Self::from_source(Plain(reader.take(length)), Some(length))
    }

    /// Creates a body from the rest of `file`, with its length. It may be a file of evy or of std.
    ///
    /// The file is read on helper OS threads, like those of [`fs`](evy_runtime::fs).
    ///
    /// # Errors
    ///
    /// Returns the error of the system, and `InvalidInput` if `file` is not a regular file.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::{Body, Response};
    ///
    /// let page = evy::fs::File::open("Cargo.toml")?;
    /// let response = Response::new(Body::from_file(page)?);
    /// assert!(response.into_body().into_text()?.contains("[package]"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_file(file: impl Into<File>) -> io::Result<Self> {
        let mut file = file.into();
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let message = "a body needs a regular file: use `from_reader` for others";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let length = metadata.len().saturating_sub(file.stream_position()?);
        let source = FileSource::new(file).take(length);
        Ok(Self::from_source(Plain(source), Some(length)))
    }

    /// Creates a body that `write` writes while the message is sent.
    ///
    /// What is written is sent when there are 16 KiB, when `write` flushes, and when it returns. The
    /// head is sent with the first of these. Until then, an error or a panic of a server's callback
    /// is answered with 500; after it, the connection is reset. Writing fails if the peer is gone.
    ///
    /// # Examples
    ///
    /// Server-sent events:
    ///
    /// ```no_run
    /// use evy::http::{Body, Response};
    /// use std::time::Duration;
    ///
    /// let listener = evy::listen("127.0.0.1:8000")?;
    /// evy::http::serve(listener, |_request| {
    ///     let events = Body::from_writer(|client| {
    ///         for number in 1.. {
    ///             write!(client, "data: {number}\n\n")?;
    ///             client.flush()?;
    ///             evy::sleep(Duration::from_secs(1));
    ///         }
    ///         Ok(())
    ///     });
    ///     Response::builder().header("content-type", "text/event-stream").body(events)
    /// })
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_writer(write: impl FnOnce(&mut dyn Write) -> io::Result<()> + 'static) -> Self {
        Self(Content::Writer(Box::new(write)))
    }

    /// Creates a body from `source`. `length` is the number of bytes left, if it is known.
    pub(crate) fn from_source(source: impl Source + 'static, length: Option<u64>) -> Self {
        Self(Content::Reader(Box::new(BodyReader::new(
            Box::new(source),
            length,
        ))))
    }

    /// Creates the body of a response after which `handler` takes over the connection.
    pub(crate) fn upgrade(handler: UpgradeHandler) -> Self {
        Self(Content::Upgrade(handler))
    }

    /// Creates the body of a received response after which the connection is `upgraded`.
    pub(crate) fn upgraded(upgraded: Upgraded) -> Self {
        Self(Content::Upgraded(Box::new(upgraded)))
    }

    /// Limits the rest of the body to `bytes`. Reading more fails with `InvalidData`.
    ///
    /// A server answers a request with 413 if reading its body exceeded the limit, like the limit
    /// for all requests, `max_body_bytes`. The lower one of both applies.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::Body;
    ///
    /// assert_eq!(Body::from("four").limit(4).into_text()?, "four");
    /// assert!(Body::from("fiver").limit(4).into_text().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        if let Content::Reader(reader) = &mut self.0
            && reader.limit(bytes)
        {
            return self;
        }
        match self.length() {
            Some(length) if length <= bytes => self,
            length => Self::from_source(
                Limited {
                    body: self,
                    left: Some(bytes),
                },
                length,
            ),
        }
    }

    /// Sends `100 Continue` with `headers` to a client that waits for it, before it sends the body.
    ///
    /// Without this, the first read sends one without headers. It may be called several times, each
    /// of which sends one. It does nothing if the request has no `Expect: 100-continue`, once the
    /// body was read to its end, and once a part of the response was sent.
    ///
    /// Parks until it is sent.
    ///
    /// # Errors
    ///
    /// Returns an error of the connection.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use evy::http::{self, Body, HeaderMap, HeaderValue, Request};
    ///
    /// fn upload(request: Request<Body>) -> std::io::Result<String> {
    ///     let mut body = request.into_body();
    ///     let mut headers = HeaderMap::new();
    ///     headers.insert("x-upload-id", HeaderValue::from_static("7"));
    ///     body.send_continue(&headers)?;
    ///     Ok(format!("{} bytes\n", body.into_bytes()?.len()))
    /// }
    ///
    /// http::serve(evy::listen("127.0.0.1:8000")?, upload)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_continue(&mut self, headers: &HeaderMap) -> io::Result<()> {
        match &mut self.0 {
            Content::Reader(reader) => reader.source.send_continue(headers),
            _ => Ok(()),
        }
    }

    /// Takes the trailers: the fields that came after a body in chunks. Returns `None` if there are
    /// none, or if the body has not been read to its end.
    ///
    /// They are checked like headers. Fields about the framing or the recipient of the message are
    /// left out.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        match &mut self.0 {
            Content::Reader(reader) => reader.source.take_trailers(),
            _ => None,
        }
    }

    /// Returns the number of bytes left to read, if it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Content::Bytes(bytes, at) => Some((bytes.len() - at) as u64),
            Content::Reader(reader) => reader.length(),
            Content::Writer(_) => None,
            Content::Upgrade(_) | Content::Upgraded(_) => Some(0),
        }
    }

    /// Reads the rest of the body.
    ///
    /// Parks until the body has been read to its end.
    ///
    /// # Errors
    ///
    /// Returns an error as reading does.
    pub fn into_bytes(mut self) -> io::Result<Vec<u8>> {
        if let Content::Bytes(bytes, 0) = self.0 {
            return Ok(bytes.into_owned());
        }
        // The length is only a claim of the peer, so no more than one piece is allocated in advance.
        let expected = self.length().map_or(0, |length| length.min(PIECE as u64));
        let mut bytes = Vec::with_capacity(expected as usize);
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
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

    pub(crate) fn is_upgrade(&self) -> bool {
        matches!(self.0, Content::Upgrade(_))
    }

    /// Returns what takes over the connection, if this is the body of an upgrade.
    pub(crate) fn into_upgrade(self) -> Option<UpgradeHandler> {
        match self.0 {
            Content::Upgrade(handler) => Some(handler),
            _ => None,
        }
    }

    /// Takes the connection of an upgrade that was received.
    pub(crate) fn take_upgraded(&mut self) -> Option<Upgraded> {
        match &self.0 {
            Content::Upgraded(_) => match mem::take(self).0 {
                Content::Upgraded(upgraded) => Some(*upgraded),
                _ => None,
            },
            _ => None,
        }
    }

    /// Sends `out`, which holds the head, and then the body. Leaves `out` empty.
    pub(crate) fn send(
        &mut self,
        out: &mut Vec<u8>,
        framing: BodyFraming,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.send_all_but_last(out, framing, &mut write)?;
        write(out)?;
        out.clear();
        Ok(())
    }

    /// Sends like [`send`](Self::send), but leaves the last part in `out`, which the caller sends.
    pub(crate) fn send_all_but_last(
        &mut self,
        out: &mut Vec<u8>,
        framing: BodyFraming,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if framing == BodyFraming::Nothing {
            return Ok(());
        }
        if let Some(bytes) = self.short_bytes() {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        if let Content::Bytes(bytes, at) = &self.0 {
            write(out)?;
            out.clear();
            return write(&bytes[*at..]);
        }
        let mut framer = Framer::new(out, framing, write);
        if let Content::Writer(write) = &mut self.0 {
            let write = mem::replace(write, Box::new(|_| Ok(())));
            let mut writer = BodyWriter::new(framer);
            write(&mut writer)?;
            return writer.finish();
        }
        while !framer.is_complete() {
            if framer.piece(|out, max| self.append(out, max))? == 0 {
                break;
            }
            if !framer.is_complete() {
                framer.flush()?;
            }
        }
        framer.finish()
    }

    /// Returns the bytes of a body in memory, unless they are many. They are copied behind the head,
    /// and not consumed, because the client may have to send them again.
    pub(crate) fn short_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Content::Bytes(bytes, at) => {
                Some(&bytes[*at..]).filter(|bytes| bytes.len() <= MAX_COALESCED_BODY)
            }
            _ => None,
        }
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
        let read = read.and_then(|read| match read <= max {
            true => Ok(read),
            // The chunk would be shorter than its size, and the next message would be taken for it.
            false => Err(io::Error::other(
                "the reader of a body claims to have read more than it was asked for",
            )),
        });
        out.truncate(at + read.as_ref().map_or(0, |read| *read));
        read
    }

    /// Runs the callback of a body that is read instead of sent.
    fn run_writer(&mut self) -> io::Result<()> {
        if let Content::Writer(_) = self.0 {
            let Content::Writer(write) = mem::take(self).0 else {
                return Ok(());
            };
            let mut bytes = Vec::new();
            write(&mut bytes)?;
            *self = Self::from(bytes);
        }
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.run_writer()?;
        match &mut self.0 {
            Content::Bytes(bytes, at) => {
                let read = (&bytes[*at..]).read(buf)?;
                *at += read;
                Ok(read)
            }
            Content::Reader(reader) => reader.read(buf),
            Content::Writer(_) | Content::Upgrade(_) | Content::Upgraded(_) => Ok(0),
        }
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.run_writer()?;
        match &mut self.0 {
            Content::Bytes(bytes, at) => Ok(&bytes[*at..]),
            Content::Reader(reader) => reader.fill_buf(),
            Content::Writer(_) | Content::Upgrade(_) | Content::Upgraded(_) => Ok(&[]),
        }
    }

    fn consume(&mut self, amount: usize) {
        match &mut self.0 {
            Content::Bytes(bytes, at) => *at = (*at + amount).min(bytes.len()),
            Content::Reader(reader) => reader.consume(amount),
            Content::Writer(_) | Content::Upgrade(_) | Content::Upgraded(_) => {}
        }
    }
}

/// A body with a limit that its source does not keep itself.
struct Limited {
    body: Body,
    /// `None` once the limit was exceeded.
    left: Option<u64>,
}

impl Read for Limited {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.left.ok_or(ProtocolError::BODY_TOO_LONG)?;
        // One byte beyond the limit shows whether the body ends there.
        let max =
            usize::try_from(left).map_or(buf.len(), |left| buf.len().min(left.saturating_add(1)));
        let read = self.body.read(&mut buf[..max])?;
        self.left = left.checked_sub(read as u64);
        match self.left {
            Some(_) => Ok(read),
            None => Err(ProtocolError::BODY_TOO_LONG.into()),
        }
    }
}

impl Source for Limited {
    fn send_continue(&mut self, headers: &HeaderMap) -> io::Result<()> {
        self.body.send_continue(headers)
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.body.take_trailers()
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
