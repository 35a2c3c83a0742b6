//! The head of the final response, after informational ones.

use std::io;

use evy_net::Stream;
use http::{Response, StatusCode};

use crate::buffered::{BufferedStream, unexpected_eof};
use crate::error::ProtocolError;
use crate::head::parse_response;
use crate::limits::Limits;

/// The number of informational responses that may precede the final one.
const MAX_INFORMATIONAL: usize = 16;

/// The failure of an exchange: the error, and whether any part of a response had arrived.
#[derive(Debug)]
pub(super) struct ExchangeError {
    pub(super) error: io::Error,
    pub(super) has_response_bytes: bool,
}

impl ExchangeError {
    /// Whether the connection was closed without a response, as if the server had closed it before
    /// it saw the request.
    pub(super) fn is_stale_connection(&self) -> bool {
        !self.has_response_bytes && is_connection_closed(&self.error)
    }
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self {
            error,
            has_response_bytes: false,
        }
    }
}

/// Whether the error means that the peer has closed the connection, rather than that it is slow or
/// has sent malformed data.
pub(super) fn is_connection_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// Which responses are wanted besides the final one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// 100, with which a server asks for the body.
    pub(super) continuation: bool,
    /// 101, after which the connection belongs to another protocol.
    pub(super) upgrade: bool,
}

/// Reads the head of the next response that is wanted.
pub(super) fn read<S: Stream>(
    stream: &mut BufferedStream<S>,
    limits: &Limits,
    wanted: Wanted,
) -> Result<Response<()>, ExchangeError> {
    let mut has_response_bytes = false;
    for _ in 0..=MAX_INFORMATIONAL {
        let head = next(stream, limits);
        has_response_bytes |= head.is_ok() || !stream.buffered().is_empty();
        let response = head.map_err(|error| ExchangeError {
            error,
            has_response_bytes,
        })?;
        match response.status() {
            StatusCode::CONTINUE if wanted.continuation => return Ok(response),
            StatusCode::SWITCHING_PROTOCOLS if wanted.upgrade => return Ok(response),
            StatusCode::SWITCHING_PROTOCOLS => {
                let message = "the server switched protocols without a request to do so";
                return Err(malformed(message));
            }
            status if status.is_informational() => {}
            _ => return Ok(response),
        }
    }
    Err(malformed("there are too many informational responses"))
}

fn next<S: Stream>(stream: &mut BufferedStream<S>, limits: &Limits) -> io::Result<Response<()>> {
    let length = stream.head(limits)?.ok_or_else(unexpected_eof)?;
    let response = parse_response(&stream.buffered()[..length], limits)?;
    stream.consume(length);
    Ok(response)
}

fn malformed(message: &'static str) -> ExchangeError {
    ExchangeError {
        error: ProtocolError::malformed(message).into(),
        has_response_bytes: true,
    }
}
