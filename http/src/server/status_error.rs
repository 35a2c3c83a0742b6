//! `StatusError`: an error of a handler that determines the status of the response.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

use http::{Response, StatusCode};

use super::into_response::text_response;
use crate::body::Body;

/// An error of a handler that is answered with a given status. Any other error is answered with
/// 500.
///
/// The message is the body of the response. The server looks for a `StatusError` in the sources of
/// an error too, so it may be wrapped in others.
///
/// # Examples
///
/// ```no_run
/// use evy::http::{self, StatusCode, StatusError};
///
/// let listener = evy::listen("127.0.0.1:8000")?;
/// http::serve(listener, |request| -> Result<String, StatusError> {
///     let number = request.uri().query().unwrap_or_default();
///     let number: u32 = number.parse().map_err(|_| {
///         StatusError::new(StatusCode::BAD_REQUEST, "the query is not a number")
///     })?;
///     Ok(format!("{}\n", number / 2))
/// })
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StatusError(Answer);

/// The answer to a request. It is the source of its error, because some wrappers of errors, such as
/// that of `anyhow`, hide the type of what they wrap, but not its source.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: StatusCode,
    message: Cow<'static, str>,
}

impl StatusError {
    /// Creates an error that is answered with `status`, and with `message` as the body.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Answer {
            status,
            message: message.into(),
        })
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.0.status
    }
}

impl Answer {
    /// Returns the answer of the `StatusError` that `error` is, or that has caused it.
    pub(super) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // The source of an I/O error is that of the error inside it.
            next = match error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
            {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = text_response(self.message.clone().into_owned());
        *response.status_mut() = self.status;
        response
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for StatusError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

impl Error for Answer {}
