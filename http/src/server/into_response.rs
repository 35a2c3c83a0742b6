//! `IntoResponse`: what a handler may return.

use std::error::Error;

use http::{Response, StatusCode};

use crate::body::Body;

/// The return type of a request handler: a response, or a `Result`. An error is answered with 500.
pub trait IntoResponse {
    /// Converts the value into a response.
    ///
    /// # Errors
    ///
    /// Returns the error of the handler.
    fn into_response(self) -> Result<Response<Body>, Box<dyn Error + Send + Sync>>;
}

impl<B: Into<Body>> IntoResponse for Response<B> {
    fn into_response(self) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        Ok(self.map(Into::into))
    }
}

impl<R, E> IntoResponse for Result<R, E>
where
    R: IntoResponse,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn into_response(self) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)?.into_response()
    }
}

/// Returns a response without a body.
pub(super) fn empty_response(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
