//! `Decoder`: reads a received body and finds its end.
//!
//! It keeps `[framed]`: it is done only when the next byte of the stream belongs to the next
//! message.

use std::io;

use evy_net::Stream;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::buffered::BufferedStream;
use crate::error::ProtocolError;
use crate::head::{content_length, trim_whitespace};

/// The maximum total size of the chunk extensions and trailers of one body.
const MAX_CHUNK_OVERHEAD: usize = 4096;

/// Fields that determine the framing or the recipient of a message. In a trailer they are ignored.
const NOT_IN_TRAILERS: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
];

/// The part of a body that comes next.
///
/// ```text
/// Length(n) ... Length(0)                                                      done
/// UntilClose -- end of stream --> Length(0)                                    done
/// ChunkSize -- n --> ChunkData(n) ... ChunkData(0) -- CRLF --> ChunkSize
///           -- 0 --> Trailer ... -- empty line --> Length(0)                   done
/// any -- error --> Broken(error)                                               final
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DecoderState {
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    Trailer,
    Broken(ProtocolError),
}

/// Reads a body from the stream and removes its framing.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) state: DecoderState,
    /// The number of bytes that may still come before `max_body_bytes` is exceeded.
    bytes_left: u64,
    overhead: usize,
    trailers: Option<Box<HeaderMap>>,
}

impl Decoder {
    pub(crate) const DONE: Self = Self {
        state: DecoderState::Length(0),
        bytes_left: 0,
        overhead: 0,
        trailers: None,
    };

    pub(crate) fn new(state: DecoderState, max_body_bytes: u64) -> Result<Self, ProtocolError> {
        match state {
            DecoderState::Length(length) if length > max_body_bytes => {
                Err(ProtocolError::BODY_TOO_LONG)
            }
            _ => Ok(Self {
                state,
                bytes_left: max_body_bytes,
                overhead: MAX_CHUNK_OVERHEAD,
                trailers: None,
            }),
        }
    }

    /// Lowers the number of bytes that may still come to `bytes`.
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.bytes_left = self.bytes_left.min(bytes);
        if self.length().is_some_and(|length| length > bytes) {
            self.state = DecoderState::Broken(ProtocolError::BODY_TOO_LONG);
        }
    }

    /// Takes the trailers, which are complete once the body is done.
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers
            .take_if(|_| self.state == DecoderState::Length(0))
            .map(|boxed| *boxed)
    }

    /// Returns the number of bytes left, if a `Content-Length` declared it.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.state {
            DecoderState::Length(left) => Some(left),
            _ => None,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == DecoderState::Length(0)
    }

    pub(crate) fn read<S: Stream>(
        &mut self,
        stream: &mut BufferedStream<S>,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        let result = if buf.is_empty() {
            Ok(0)
        } else {
            self.advance(stream, buf)
        };
        if let Some(error) = result.as_ref().err().and_then(ProtocolError::of) {
            self.state = DecoderState::Broken(error);
        }
        result
    }

    fn advance<S: Stream>(
        &mut self,
        stream: &mut BufferedStream<S>,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            match &mut self.state {
                DecoderState::Length(0) => return Ok(0),
                DecoderState::Length(left) => return read_within(stream, buf, left),
                DecoderState::UntilClose => {
                    let read = stream.read(buf)?;
                    if read == 0 {
                        self.state = DecoderState::Length(0);
                    }
                    self.consume(read as u64)?;
                    return Ok(read);
                }
                DecoderState::ChunkSize => self.start_chunk(stream)?,
                DecoderState::ChunkData(0) => {
                    stream.line(
                        0,
                        ProtocolError::malformed("a chunk is longer than its size"),
                        |_| Ok(()),
                    )?;
                    self.state = DecoderState::ChunkSize;
                }
                DecoderState::ChunkData(left) => return read_within(stream, buf, left),
                DecoderState::Trailer => self.read_trailer(stream)?,
                DecoderState::Broken(error) => return Err((*error).into()),
            }
        }
    }

    fn start_chunk<S: Stream>(&mut self, stream: &mut BufferedStream<S>) -> io::Result<()> {
        let (size, extension) = stream.line(16 + self.overhead, TOO_MUCH_OVERHEAD, |line| {
            let end = line
                .iter()
                .position(|&byte| byte == b';')
                .unwrap_or(line.len());
            let extension = &line[end..];
            if extension
                .iter()
                .any(|&byte| byte != b'\t' && byte.is_ascii_control())
            {
                let message = "there is a control character in a chunk extension";
                return Err(ProtocolError::malformed(message));
            }
            Ok((parse_chunk_size(&line[..end])?, extension.len()))
        })?;
        self.overhead = self
            .overhead
            .checked_sub(extension)
            .ok_or(TOO_MUCH_OVERHEAD)?;
        self.consume(size)?;
        self.state = if size == 0 {
            DecoderState::Trailer
        } else {
            DecoderState::ChunkData(size)
        };
        Ok(())
    }

    fn read_trailer<S: Stream>(&mut self, stream: &mut BufferedStream<S>) -> io::Result<()> {
        let (length, field) = stream.line(self.overhead, TOO_MUCH_OVERHEAD, |line| {
            let field = if line.is_empty() {
                None
            } else {
                Some(parse_trailer(line)?)
            };
            Ok((line.len(), field))
        })?;
        self.overhead = self.overhead.saturating_sub(length + 2);
        match field {
            None => self.state = DecoderState::Length(0),
            Some((name, _)) if NOT_IN_TRAILERS.contains(&name) => {}
            Some((name, value)) => {
                self.trailers.get_or_insert_default().append(name, value);
            }
        }
        Ok(())
    }

    fn consume(&mut self, bytes: u64) -> Result<(), ProtocolError> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes)
            .ok_or(ProtocolError::BODY_TOO_LONG)?;
        Ok(())
    }
}

const TOO_MUCH_OVERHEAD: ProtocolError =
    ProtocolError::malformed("chunk extensions and trailers exceed 4096 bytes");

/// Reads at most `left` bytes. It is an error if the stream ends before them.
fn read_within<S: Stream>(
    stream: &mut BufferedStream<S>,
    buf: &mut [u8],
    left: &mut u64,
) -> io::Result<usize> {
    let max = usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()));
    let read = stream.read(&mut buf[..max])?;
    if read == 0 {
        let message = "the peer closed the connection in the middle of a body";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    *left -= read as u64;
    Ok(read)
}

/// Parses a chunk size: hexadecimal digits and nothing else, at most as many as a `u64` has.
fn parse_chunk_size(digits: &[u8]) -> Result<u64, ProtocolError> {
    const ERROR: ProtocolError = ProtocolError::malformed("a chunk size is malformed");
    if digits.is_empty() || digits.len() > 16 {
        return Err(ERROR);
    }
    digits.iter().try_fold(0_u64, |size, &digit| {
        let digit = char::from(digit).to_digit(16).ok_or(ERROR)?;
        Ok(size << 4 | u64::from(digit))
    })
}

/// Parses a trailer by the rules for headers.
fn parse_trailer(line: &[u8]) -> Result<(HeaderName, HeaderValue), ProtocolError> {
    const ERROR: ProtocolError = ProtocolError::malformed("a trailer is malformed");
    let colon = line.iter().position(|&byte| byte == b':').ok_or(ERROR)?;
    let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| ERROR)?;
    let value = HeaderValue::from_bytes(trim_whitespace(&line[colon + 1..])).map_err(|_| ERROR)?;
    Ok((name, value))
}

/// Returns the framing that a head declares, if it declares one. The same rules apply to requests
/// and responses.
pub(crate) fn body_framing(
    headers: &HeaderMap,
    version: Version,
) -> Result<Option<DecoderState>, ProtocolError> {
    let length = content_length(headers)?;
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(length.map(DecoderState::Length));
    }
    if version == Version::HTTP_10 {
        return Err(ProtocolError::malformed(
            "HTTP/1.0 has no `Transfer-Encoding`",
        ));
    }
    if length.is_some() {
        return Err(ProtocolError::malformed(
            "both `Content-Length` and `Transfer-Encoding` are given",
        ));
    }
    check_codings(headers)?;
    Ok(Some(DecoderState::ChunkSize))
}

/// Requires `chunked` as the only transfer coding.
fn check_codings(headers: &HeaderMap) -> Result<(), ProtocolError> {
    let values = headers.get_all(TRANSFER_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    let is_chunked = |coding: &[u8]| trim_whitespace(coding).eq_ignore_ascii_case(b"chunked");
    // The end of the body can be found only if the last coding is `chunked` (RFC 9112, 6.3).
    if !codings.next_back().is_some_and(is_chunked) {
        let message = "the last transfer coding is not `chunked`";
        return Err(ProtocolError::malformed(message));
    }
    let mut is_plain = true;
    for coding in codings {
        let name = coding
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        if is_chunked(name) || HeaderName::from_bytes(trim_whitespace(name)).is_err() {
            let message = "`Transfer-Encoding` is malformed";
            return Err(ProtocolError::malformed(message));
        }
        is_plain = false;
    }
    if is_plain {
        return Ok(());
    }
    Err(ProtocolError::new(
        StatusCode::NOT_IMPLEMENTED,
        "the only supported transfer coding is `chunked`",
    ))
}
