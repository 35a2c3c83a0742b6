//! Compression by the crate `flate2`, for clients that accept it.

use evy::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use evy::http::{Body, HeaderMap, HeaderValue, Response, StatusCode};
use flate2::Compression;
use flate2::read::GzEncoder;

/// A body that is shorter is sent as it is.
const MIN_BYTES: u64 = 200;

/// Whether a client accepts gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter();
    let mut any = false;
    for coding in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (name, weight) = coding.split_once(";").unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=");
        let weight: Option<f32> = weight.and_then(|weight| weight.parse().ok());
        let is_accepted = weight.is_some_and(|weight| weight > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return is_accepted,
            "*" => any = is_accepted,
            _ => {}
        }
    }
    any
}

/// Compresses the body of a page of text if the client accepts that.
pub(crate) fn compress(mut response: Response<Body>, accepts_gzip: bool) -> Response<Body> {
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.map_or(b"".as_slice(), HeaderValue::as_bytes);
    let is_text = [b"text/".as_slice(), b"application/json", b"image/svg"]
        .iter()
        .any(|start| content_type.starts_with(start));
    // An event must not wait in the compressor for the next one.
    let is_stream = content_type.starts_with(b"text/event-stream");
    let is_long = response
        .body()
        .length()
        .is_none_or(|bytes| bytes >= MIN_BYTES);
    if !is_text || is_stream {
        return response;
    }
    // A cache must not give a compressed page to a client that does not accept it.
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().append(VARY, vary);
    if !accepts_gzip || !is_long || response.status() != StatusCode::OK {
        return response;
    }
    response.headers_mut().remove(CONTENT_LENGTH);
    let gzip = HeaderValue::from_static("gzip");
    response.headers_mut().insert(CONTENT_ENCODING, gzip);
    response.map(|body| Body::from_reader(GzEncoder::new(body, Compression::default())))
}
