//! The head of a request: checks what the program has set, and writes it.

use std::io::{self, Write};

use http::header::{EXPECT, HOST, HeaderMap, TRANSFER_ENCODING, UPGRADE, USER_AGENT};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Uri, Version};

use crate::body::{Body, BodyFraming};
use crate::head::{self, content_length};
use crate::host::is_host;

/// What a head depends on besides its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadSettings<'a> {
    pub(super) user_agent: Option<&'a HeaderValue>,
    /// Whether the connection can carry another request.
    pub(super) keeps_connection: bool,
}

/// Whether the connection is to be handed over if the server agrees.
pub(super) fn asks_for_upgrade(request: &Request<Body>) -> bool {
    request.headers().contains_key(UPGRADE)
}

/// Whether the server is asked before the body is sent.
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(EXPECT).iter();
    values.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Checks what the program has set, and returns how the body is framed.
///
/// # Errors
///
/// Returns `Unsupported` for CONNECT, and `InvalidInput` for headers that a server could
/// misunderstand.
pub(super) fn check(request: &Request<Body>) -> io::Result<BodyFraming> {
    if request.method() == Method::CONNECT {
        let message = "the client does not support CONNECT";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    check_host(request.headers())?;
    framing(request)
}

fn check_host(headers: &HeaderMap) -> io::Result<()> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(invalid("a request must not have more than one `Host`")),
        (Some(host), None) if !host.is_empty() && !is_host(host.as_bytes()) => {
            Err(invalid("the `Host` of the request is malformed"))
        }
        _ => Ok(()),
    }
}

/// Returns how the body is framed: by its length, or else in chunks.
fn framing(request: &Request<Body>) -> io::Result<BodyFraming> {
    let headers = request.headers();
    let declared = content_length(headers)
        .map_err(|_| invalid("the `Content-Length` of the request is not one number"))?;
    let length = request.body().length();
    if headers.contains_key(TRANSFER_ENCODING) {
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let first = codings.next().map_or(&b""[..], HeaderValue::as_bytes);
        if !first.eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
            let message = "the only supported `Transfer-Encoding` is `chunked`";
            return Err(invalid(message));
        }
        if declared.is_some() {
            let message = "a request must not have both `Content-Length` and `Transfer-Encoding`";
            return Err(invalid(message));
        }
        return Ok(BodyFraming::Chunked);
    }
    if let (Some(declared), Some(length)) = (declared, length)
        && declared != length
    {
        return Err(invalid(
            "the `Content-Length` is not the length of the body",
        ));
    }
    let expects_body = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    );
    Ok(match length.or(declared) {
        Some(0) if !expects_body && length.is_some() => BodyFraming::Nothing,
        Some(length) => BodyFraming::Length(length),
        None => BodyFraming::Chunked,
    })
}

/// Appends the head of a request to `out`.
pub(super) fn write(
    out: &mut Vec<u8>,
    request: &Request<Body>,
    framing: BodyFraming,
    settings: HeadSettings<'_>,
) {
    let (uri, headers) = (request.uri(), request.headers());
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    write_target(out, uri);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !headers.contains_key(HOST) {
        let host = uri.authority().map_or("", Authority::as_str);
        write_header(out, "host", host.as_bytes());
    }
    if let (Some(user_agent), false) = (settings.user_agent, headers.contains_key(USER_AGENT)) {
        write_header(out, "user-agent", user_agent.as_bytes());
    }
    framing.write_header(out);
    if asks_for_upgrade(request) {
        out.extend_from_slice(b"connection: upgrade\r\n");
    } else if !settings.keeps_connection || !head::keeps_alive(headers, Version::HTTP_11) {
        out.extend_from_slice(b"connection: close\r\n");
    }
    if framing == BodyFraming::Nothing && expects_continue(headers) {
        // There is nothing to wait for (RFC 9110, 10.1.1).
        let mut headers = headers.clone();
        headers.remove(EXPECT);
        head::write_headers(out, &headers);
    } else {
        head::write_headers(out, headers);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the path and the query. Bytes that a URL cannot contain are percent-encoded.
fn write_target(out: &mut Vec<u8>, uri: &Uri) {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    if !target.starts_with('/') && target != "*" {
        out.push(b'/');
    }
    write_encoded(out, target.as_bytes());
}

/// Appends `text`, and percent-encodes the bytes that a URL cannot contain (RFC 3986, 2).
pub(super) fn write_encoded(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(byte);
        } else {
            // Writing to a vector does not fail.
            write!(out, "%{byte:02X}").ok();
        }
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
