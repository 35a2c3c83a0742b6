//! `ProtocolError`: the reason why a message was rejected.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

/// The reason why a message was rejected: the status that a server answers with, and a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError {
    pub(crate) status: StatusCode,
    message: &'static str,
}

impl ProtocolError {
    pub(crate) const HEAD_TOO_LONG: Self = Self::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the head is longer than `max_head_bytes`",
    );
    pub(crate) const TOO_MANY_HEADERS: Self = Self::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "there are more headers than `max_headers`",
    );
    pub(crate) const TARGET_TOO_LONG: Self = Self::new(
        StatusCode::URI_TOO_LONG,
        "the target is longer than `max_target_bytes`",
    );
    pub(crate) const METHOD_TOO_LONG: Self = Self::new(
        StatusCode::NOT_IMPLEMENTED,
        "the method is longer than `max_target_bytes`",
    );
    pub(crate) const BODY_TOO_LONG: Self = Self::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body is longer than `max_body_bytes`, or than its `limit`",
    );
    pub(crate) const BODY_TIMED_OUT: Self = Self::new(
        StatusCode::REQUEST_TIMEOUT,
        "the body of the request took too long",
    );
    pub(crate) const BODY_CUT_OFF: Self =
        Self::malformed("the peer closed the connection in the middle of a body");

    pub(crate) const fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, message }
    }

    pub(crate) const fn malformed(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Returns the protocol error inside an I/O error, if there is one.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl Error for ProtocolError {}

impl From<ProtocolError> for io::Error {
    fn from(error: ProtocolError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
