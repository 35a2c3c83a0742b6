//! `ResponseExt`: what a client wants to know of a response, besides what `http` offers.

use std::error::Error;
use std::fmt;
use std::io;

use http::{Response, StatusCode, Uri};

/// The URL that a response came from, as an extension of the response.
#[derive(Clone, Debug)]
pub(super) struct ResponseUri(pub(super) Uri);

/// Methods for the responses that a [`Client`](crate::Client) returns.
///
/// # Examples
///
/// ```no_run
/// use evy::http::{self, ResponseExt};
///
/// let page = http::get("https://example.com/")?.error_for_status()?.into_body().into_text()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ResponseExt: Sized {
    /// Returns the URL that the response came from, after all redirects.
    ///
    /// `None` if no client has received the response.
    fn uri(&self) -> Option<&Uri>;

    /// Makes a response with an error status an error. Others are returned as they are.
    ///
    /// # Errors
    ///
    /// Returns an error if the status is 4xx or 5xx. It contains an [`UnexpectedStatus`].
    fn error_for_status(self) -> io::Result<Self>;
}

impl<B> ResponseExt for Response<B> {
    fn uri(&self) -> Option<&Uri> {
        self.extensions().get::<ResponseUri>().map(|uri| &uri.0)
    }

    fn error_for_status(self) -> io::Result<Self> {
        let status = self.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(self);
        }
        let uri = self.uri().cloned();
        Err(io::Error::other(UnexpectedStatus { status, uri }))
    }
}

/// The error that [`ResponseExt::error_for_status`] returns, inside an [`io::Error`].
///
/// # Examples
///
/// ```
/// use evy::http::{UnexpectedStatus, Response, ResponseExt, StatusCode};
///
/// let mut response = Response::new(());
/// *response.status_mut() = StatusCode::NOT_FOUND;
/// let error = response.error_for_status().unwrap_err();
/// let status = error.get_ref().and_then(|e| e.downcast_ref()).map(UnexpectedStatus::status);
/// assert_eq!(status, Some(StatusCode::NOT_FOUND));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnexpectedStatus {
    status: StatusCode,
    uri: Option<Uri>,
}

impl UnexpectedStatus {
    /// Returns the status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the URL that the response came from, after all redirects.
    #[must_use]
    pub fn uri(&self) -> Option<&Uri> {
        self.uri.as_ref()
    }
}

impl fmt::Display for UnexpectedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        match &self.uri {
            Some(uri) => write!(f, " for {uri}"),
            None => Ok(()),
        }
    }
}

impl Error for UnexpectedStatus {}
