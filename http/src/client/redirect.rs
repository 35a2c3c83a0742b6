//! Redirects: the request that follows from a response.

use std::io::{self, Read};

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderName, LOCATION, PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
};
use http::{Method, Request, Response, StatusCode, Uri};

use super::destination::Destination;
use super::reference::resolve;
use crate::body::Body;

/// The part of a redirect's body that is read so that the connection can be used again.
const MAX_DISCARDED: u64 = 64 * 1024;

/// Headers that another origin must not see.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// Headers that describe the body.
const BODY_HEADERS: [HeaderName; 7] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    EXPECT,
    TRANSFER_ENCODING,
];

/// Turns `request` into the one that `response` asks for. Returns `false`, and leaves it as it is,
/// if the response asks for none, or for the body once more, and `can_resend` is false.
///
/// # Errors
///
/// Returns `InvalidData` for a malformed `Location`, `PermissionDenied` for a redirect from `https`
/// to `http` unless that is allowed, and the errors of [`Destination::of`].
pub(super) fn follow<B>(
    response: &Response<B>,
    request: &mut Request<Body>,
    can_resend: bool,
    allows_http: bool,
) -> io::Result<bool> {
    let method = request.method();
    let becomes_get = match response.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::POST,
        StatusCode::SEE_OTHER => method != Method::GET && method != Method::HEAD,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
        _ => return Ok(false),
    };
    if !becomes_get && !can_resend {
        return Ok(false);
    }
    let Some(uri) = location(response, request.uri())? else {
        return Ok(false);
    };
    let (from, to) = (Destination::of(request.uri())?, Destination::of(&uri)?);
    if from.is_https() && !to.is_https() && !allows_http {
        let message = "a redirect from https to http: see `allow_redirects_to_http`";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    if from != to {
        headers.remove(HOST);
        CREDENTIALS
            .iter()
            .for_each(|name| drop(headers.remove(name)));
    }
    if becomes_get {
        BODY_HEADERS
            .iter()
            .for_each(|name| drop(headers.remove(name)));
        *request.method_mut() = Method::GET;
        *request.body_mut() = Body::empty();
    }
    Ok(true)
}

/// Returns the URL of the `Location`, if there is one.
fn location<B>(response: &Response<B>, base: &Uri) -> io::Result<Option<Uri>> {
    let mut values = response.headers().get_all(LOCATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let is_ambiguous = values.any(|other| other != value);
    match resolve(base, value.as_bytes()) {
        Some(uri) if !is_ambiguous => Ok(Some(uri)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the `Location` of a redirect is malformed",
        )),
    }
}

/// Reads the body of a redirect, unless it is long.
pub(super) fn discard(body: Body) {
    // If that fails, the next request uses another connection.
    io::copy(&mut body.take(MAX_DISCARDED), &mut io::sink()).ok();
}
