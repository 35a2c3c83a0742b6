//! `IntoResponse`: what a handler may return.

use std::error::Error;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;

/// The return type of a request handler.
///
/// | type | response |
/// | --- | --- |
/// | `Response<B>` with a `B` that converts into a [`Body`] | as it is |
/// | `String`, `&'static str` | 200, with `Content-Type: text/plain; charset=utf-8` |
/// | `Vec<u8>`, `Body` | 200, without a `Content-Type` |
/// | `()` | 200, without a body |
/// | [`StatusCode`] | that status, without a body |
/// | `(StatusCode, R)` | the response of `R`, with that status |
/// | `Result<R, E>` | that of `R`, or that of a [`StatusError`](super::StatusError); 500 for any other error |
///
/// `E` is any error that converts into `Box<dyn Error + Send + Sync>`, such as [`std::io::Error`] or
/// `anyhow::Error`.
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

impl IntoResponse for StatusCode {
    fn into_response(self) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        Ok(empty_response(self))
    }
}

impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        let mut response = self.1.into_response()?;
        *response.status_mut() = self.0;
        Ok(response)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        Ok(text_response(self))
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        Ok(text_response(self))
    }
}

macro_rules! plain_bodies {
    ($($body:ty),*) => { $(
        impl IntoResponse for $body {
            fn into_response(self) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
                Ok(Response::new(self.into()))
            }
        }
    )* };
}

plain_bodies!(Body, Vec<u8>, &'static [u8], ());

/// Returns a response without a body.
pub(super) fn empty_response(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(super) fn text_response(text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
