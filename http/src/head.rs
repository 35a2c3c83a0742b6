//! Message heads: parsing them, once they are complete ([`crate::head_scanner`]), and writing their
//! headers.
//!
//! A malformed head is reported as a `ProtocolError`. The server answers with its status, and the
//! client returns it with its message.

use std::mem::MaybeUninit;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};

use crate::error::ProtocolError;
use crate::head_scanner::REQUEST_LINE_OVERHEAD;
use crate::host::{LastHost, is_host};
use crate::limits::{Limits, MAX_HEADERS};

/// The number of headers up to which their table is small.
const FEW_HEADERS: usize = 32;

/// Which of the headers that the server acts on a request has. To ask this for each of them costs as
/// much as parsing the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadersSeen {
    hosts: usize,
    pub(crate) connection: bool,
    pub(crate) expect: bool,
    /// Whether there is `Content-Length` or `Transfer-Encoding`.
    pub(crate) framing: bool,
}

impl HeadersSeen {
    fn add(&mut self, name: &HeaderName) {
        match name {
            _ if *name == HOST => self.hosts += 1,
            _ if *name == CONNECTION => self.connection = true,
            _ if *name == EXPECT => self.expect = true,
            _ if *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING => self.framing = true,
            _ => {}
        }
    }
}

/// Parses the head of a request at the start of `bytes` into `request`, which has no headers. Returns
/// its length. The request is large, so it is not moved until it is complete.
///
/// Returns `None`, and leaves `request` as it is, unless the head is complete and its lines are right.
/// Then `HeadScanner` finds out what is wrong or still to come, and `parse_request` parses it.
pub(crate) fn parse_arrived<B>(
    bytes: &[u8],
    limits: &Limits,
    request: &mut Request<B>,
    last_host: &mut LastHost,
) -> Result<Option<(usize, HeadersSeen)>, ProtocolError> {
    let mut table = [const { MaybeUninit::uninit() }; FEW_HEADERS];
    let count = limits.headers.min(FEW_HEADERS);
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(bytes, &mut table[..count]);
    let Ok(httparse::Status::Complete(length)) = outcome else {
        return Ok(None);
    };
    if !has_strict_lines(&bytes[..length], &parsed, limits) {
        return Ok(None);
    }
    let seen = fill_request(&parsed, limits, request, last_host)?;
    Ok(Some((length, seen)))
}

/// Whether each line of a parsed head ends with CRLF, and neither the first one nor all of them are
/// too long. `httparse` accepts a bare LF, but no other wrong line end.
fn has_strict_lines(head: &[u8], parsed: &httparse::Request<'_, '_>, limits: &Limits) -> bool {
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return false;
    };
    let begins_line = |text: &str| {
        let at = text.as_ptr().addr().checked_sub(head.as_ptr().addr());
        let before = at.and_then(|at| head.get(..at));
        before.is_some_and(|before| before.ends_with(b"\r\n"))
    };
    let is_line_short = limits.target.is_none_or(|limit| {
        let line = method.len() + target.len() + " ".len() + " HTTP/1.1\r\n".len();
        line <= limit.saturating_add(REQUEST_LINE_OVERHEAD)
    });
    is_line_short
        && head.len() <= limits.head
        && head.starts_with(method.as_bytes())
        && head.ends_with(b"\r\n\r\n")
        && parsed.headers.iter().all(|header| begins_line(header.name))
}

/// Parses the head of a request from the bytes that `HeadScanner` has delimited, into `request`, which
/// has no headers.
pub(crate) fn parse_request<B>(
    bytes: &[u8],
    limits: &Limits,
    request: &mut Request<B>,
    last_host: &mut LastHost,
) -> Result<HeadersSeen, ProtocolError> {
    let mut table = [const { MaybeUninit::uninit() }; FEW_HEADERS];
    let count = limits.headers.min(FEW_HEADERS);
    match parse_request_with(bytes, limits, request, last_host, &mut table[..count]) {
        Err(ProtocolError::TOO_MANY_HEADERS) if limits.headers > FEW_HEADERS => {
            parse_long_request(bytes, limits, request, last_host)
        }
        parsed => parsed,
    }
}

/// Out of line, because the table would keep two pages of each stack in use.
#[cold]
#[inline(never)]
fn parse_long_request<B>(
    bytes: &[u8],
    limits: &Limits,
    request: &mut Request<B>,
    last_host: &mut LastHost,
) -> Result<HeadersSeen, ProtocolError> {
    let mut table = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let count = limits.headers.min(MAX_HEADERS);
    parse_request_with(bytes, limits, request, last_host, &mut table[..count])
}

fn parse_request_with<'b, B>(
    bytes: &'b [u8],
    limits: &Limits,
    request: &mut Request<B>,
    last_host: &mut LastHost,
    table: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<HeadersSeen, ProtocolError> {
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(bytes, table);
    if outcome == Err(httparse::Error::Version) {
        return parse_other_version(bytes, limits, request, last_host);
    }
    require_complete(outcome, "the request line or a header is malformed")?;
    fill_request(&parsed, limits, request, last_host)
}

/// Copies a parsed head into `request`, and checks what `httparse` does not check.
fn fill_request<B>(
    parsed: &httparse::Request<'_, '_>,
    limits: &Limits,
    request: &mut Request<B>,
    last_host: &mut LastHost,
) -> Result<HeadersSeen, ProtocolError> {
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return Err(ProtocolError::malformed("the request line is malformed"));
    };
    if limits.target.is_some_and(|limit| target.len() > limit) {
        return Err(ProtocolError::TARGET_TOO_LONG);
    }
    *request.method_mut() = Method::from_bytes(method.as_bytes())
        .map_err(|_| ProtocolError::malformed("the method is malformed"))?;
    *request.uri_mut() = parse_target(target, request.method())?;
    *request.version_mut() = version(parsed.version);
    let mut seen = HeadersSeen::default();
    copy_headers(parsed.headers, request.headers_mut(), |name, value| {
        seen.add(name);
        match *name == HOST {
            true => last_host
                .value(value)
                .ok_or(ProtocolError::malformed("`Host` is malformed")),
            false => header_value(value),
        }
    })?;
    check_host(request, seen.hosts)?;
    Ok(seen)
}

/// Parses the head of a request whose version `httparse` does not know. A later minor version of
/// HTTP/1 is treated as HTTP/1.1 (RFC 9110, 2.5).
#[cold]
#[inline(never)]
fn parse_other_version<B>(
    bytes: &[u8],
    limits: &Limits,
    request: &mut Request<B>,
    last_host: &mut LastHost,
) -> Result<HeadersSeen, ProtocolError> {
    let length = bytes.iter().position(|&byte| byte == b'\r').unwrap_or(0);
    let mut words = bytes[..length].split(|&byte| byte == b' ').skip(2);
    let (Some(version), None) = (words.next(), words.next()) else {
        return Err(ProtocolError::malformed("the request line is malformed"));
    };
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => {
            let mut bytes = bytes.to_vec();
            bytes[length - 1] = b'1';
            parse_request(&bytes, limits, request, last_host)
        }
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'0' | b'2'..=b'9',
            b'.',
            b'0'..=b'9',
        ] => Err(ProtocolError::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "only HTTP/1.0 and HTTP/1.1 are supported",
        )),
        _ => Err(ProtocolError::malformed("the version is malformed")),
    }
}

/// Parses the head of a response from the bytes that `HeadScanner` has delimited.
pub(crate) fn parse_response(bytes: &[u8], limits: &Limits) -> Result<Response<()>, ProtocolError> {
    let mut table = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let table = &mut table[..limits.headers.min(MAX_HEADERS)];
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        bytes,
        table,
    );
    if outcome == Err(httparse::Error::Version)
        && let [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'2'..=b'9',
            b' ',
            ..,
        ] = bytes
    {
        // A later minor version is treated as HTTP/1.1, as in requests.
        return parse_response(&[b"HTTP/1.1", &bytes[8..]].concat(), limits);
    }
    require_complete(outcome, "the status line or a header is malformed")?;
    let mut response = Response::new(());
    *response.status_mut() = parsed
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(ProtocolError::malformed("the status code is out of range"))?;
    *response.version_mut() = version(parsed.version);
    copy_headers(parsed.headers, response.headers_mut(), |_, value| {
        header_value(value)
    })?;
    Ok(response)
}

fn require_complete(
    outcome: httparse::Result<usize>,
    message: &'static str,
) -> Result<(), ProtocolError> {
    match outcome {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(ProtocolError::TOO_MANY_HEADERS),
        Ok(httparse::Status::Partial) | Err(_) => Err(ProtocolError::malformed(message)),
    }
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(1) {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    }
}

/// Appends the headers to `to`, with the values that `value_of` returns.
fn copy_headers(
    from: &[httparse::Header<'_>],
    to: &mut HeaderMap,
    mut value_of: impl FnMut(&HeaderName, &[u8]) -> Result<HeaderValue, ProtocolError>,
) -> Result<(), ProtocolError> {
    to.reserve(from.len());
    for header in from {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| MALFORMED_HEADER)?;
        let value = value_of(&name, header.value)?;
        to.append(name, value);
    }
    Ok(())
}

const MALFORMED_HEADER: ProtocolError = ProtocolError::malformed("a header is malformed");

fn header_value(bytes: &[u8]) -> Result<HeaderValue, ProtocolError> {
    HeaderValue::from_bytes(bytes).map_err(|_| MALFORMED_HEADER)
}

/// Parses a target: `/path`, `http://host/path`, `*` for OPTIONS, or `host:port` for CONNECT.
fn parse_target(target: &str, method: &Method) -> Result<Uri, ProtocolError> {
    const ERROR: ProtocolError = ProtocolError::malformed("the target is malformed");
    if target == "/" && *method != Method::CONNECT {
        return Ok(Uri::default());
    }
    let uri = target.parse::<Uri>().map_err(|_| ERROR)?;
    let has_form = match uri.authority() {
        _ if target.contains('#') => false,
        // CONNECT names a host and a port, and nothing else (RFC 9110, 9.3.6).
        Some(authority) if *method == Method::CONNECT => {
            uri.scheme().is_none() && has_port(authority.as_str())
        }
        _ if *method == Method::CONNECT => false,
        Some(authority) => uri.scheme().is_some() && is_host(authority.as_str().as_bytes()),
        None => target.starts_with('/') || (target == "*" && *method == Method::OPTIONS),
    };
    if has_form { Ok(uri) } else { Err(ERROR) }
}

fn has_port(authority: &str) -> bool {
    is_host(authority.as_bytes())
        && authority.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|n| n > 0)
        })
}

/// Requires one well-formed `Host` where HTTP/1.1 demands it. If the target names a host, `Host` is
/// replaced by that, because it is to be ignored then (RFC 9112, 3.2.2).
fn check_host<B>(request: &mut Request<B>, hosts: usize) -> Result<(), ProtocolError> {
    match hosts {
        0 if request.version() == Version::HTTP_10 => {}
        0 => return Err(ProtocolError::malformed("there is no `Host`")),
        1 => {}
        _ => return Err(ProtocolError::malformed("there is more than one `Host`")),
    }
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    Ok(())
}

/// Returns the `Content-Length`, which must be given at most once and in digits only.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ProtocolError> {
    const ERROR: ProtocolError = ProtocolError::malformed("`Content-Length` is not one number");
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| ERROR)?;
    if values.next().is_some() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ERROR);
    }
    text.parse().map(Some).map_err(|_| ERROR)
}

/// Whether the sender of this head allows another message on the connection.
pub(crate) fn keeps_alive(headers: &HeaderMap, version: Version) -> bool {
    !connection_says(headers, "close")
        && (version == Version::HTTP_11 || connection_says(headers, "keep-alive"))
}

/// Whether `Connection` contains `token`.
pub(crate) fn connection_says(headers: &HeaderMap, token: &str) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|word| trim_whitespace(word).eq_ignore_ascii_case(token.as_bytes()))
}

/// Removes the spaces and tabs around a value. `trim_ascii` would also remove control characters.
pub(crate) const fn trim_whitespace(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Appends the headers to `out`, each as a line `name: value`. Those that the connection sets
/// itself are left out.
pub(crate) fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_arrived, parse_request, parse_response};
    use crate::decoder::body_framing;
    use crate::error::ProtocolError;
    use crate::head_scanner::HeadScanner;
    use crate::host::LastHost;
    use crate::limits::Limits;
    use http::{Request, Response, StatusCode};

    const LIMITS: Limits = Limits {
        target: Some(40),
        head: 400,
        headers: 4,
        body: 9,
    };

    /// Parses a head as after a scan. If it is parsed where it has arrived, that makes no difference.
    fn request(bytes: &[u8]) -> Result<Request<()>, ProtocolError> {
        let (scanned, arrived) = (scanned(bytes), arrived(bytes));
        if let Some(arrived) = arrived.transpose() {
            assert_eq!(format!("{arrived:?}"), format!("{scanned:?}"));
        }
        let (_, request) = scanned?;
        body_framing(request.headers(), request.version())?;
        Ok(request)
    }

    fn scanned(bytes: &[u8]) -> Result<(usize, Request<()>), ProtocolError> {
        let end = HeadScanner::default().advance(bytes, &LIMITS)?;
        let end = end.expect("a whole head");
        let mut request = Request::new(());
        let mut last_host = LastHost::default();
        parse_request(&bytes[..end], &LIMITS, &mut request, &mut last_host)?;
        Ok((end, request))
    }

    fn arrived(bytes: &[u8]) -> Result<Option<(usize, Request<()>)>, ProtocolError> {
        let mut request = Request::new(());
        let mut last_host = LastHost::default();
        let parsed = parse_arrived(bytes, &LIMITS, &mut request, &mut last_host)?;
        Ok(parsed.map(|(length, _)| (length, request)))
    }

    fn response(head: &str) -> Result<Response<()>, ProtocolError> {
        let limits = Limits {
            target: None,
            ..LIMITS
        };
        let end = HeadScanner::default().advance(head.as_bytes(), &limits)?;
        let response = parse_response(&head.as_bytes()[..end.expect("a whole head")], &limits)?;
        body_framing(response.headers(), response.version())?;
        Ok(response)
    }

    #[test]
    fn an_ambiguous_head_is_rejected_with_400() {
        for lines in [
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: y\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.10\r\nHost: a\r\n",
            "GET / HTTP/11\r\nHost: a\r\n",
            "GET / http/1.1\r\nHost: a\r\n",
            "GET / a HTTP/1.2\r\nHost: a\r\n",
            "GET /  HTTP/1.2\r\nHost: a\r\n",
            "GET /\r\nHost: a\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n",
            "GET /#f HTTP/1.1\r\nHost: a\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, , chunked\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip, chunked\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n",
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "P / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
        ] {
            let status = request(format!("{lines}\r\n").as_bytes()).map_err(|error| error.status);
            assert_eq!(status.err(), Some(StatusCode::BAD_REQUEST), "{lines:?}");
        }
    }

    #[test]
    fn a_well_formed_head_is_accepted_in_each_form() {
        for lines in [
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.2\r\nHost: a\r\n",
            "GET / HTTP/1.9\r\nHost: a\r\n",
            "GET / HTTP/1.0\r\n",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n",
            "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n",
            "GET http://[::1]:80/ HTTP/1.1\r\nHost: a\r\n",
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n",
            "GET /?q=1 HTTP/1.1\r\nhost:a:80\r\n",
            "GET http://A/ HTTP/1.1\r\nHost: a\r\n",
            "OPTIONS * HTTP/1.1\r\nHost:\r\n",
            "P / HTTP/1.1\r\nHost: [::1]:8\r\nTransfer-Encoding: Chunked\r\n",
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 0007\r\n",
        ] {
            assert!(
                request(format!("{lines}\r\n").as_bytes()).is_ok(),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn what_is_not_supported_is_reported_with_its_status() {
        let long = |n| "x".repeat(n);
        let coding =
            |value| format!("P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n");
        for (head, status) in [
            (
                format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(40)),
                414,
            ),
            (format!("GET /{}", long(400)), 414),
            (
                format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(400)),
                431,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n".into(),
                431,
            ),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), 505),
            ("PRI * HTTP/2.0\r\n\r\n".into(), 505),
            ("GET / HTTP/0.9\r\nHost: a\r\n\r\n".into(), 505),
            (coding("gzip, chunked"), 501),
            (coding("gzip;q=1, chunked"), 501),
            (coding("gzip\r\nTransfer-Encoding: chunked"), 501),
        ] {
            let found = request(head.as_bytes()).expect_err("over a limit").status;
            assert_eq!(found.as_u16(), status, "{head:?}");
        }
    }

    #[test]
    fn a_malformed_host_is_rejected_with_400_wherever_it_stands() {
        for host in [
            "a:x",
            "a:99999",
            "a:65536",
            "a:-1",
            "a:+1",
            "a: 1",
            "[a]",
            "[::1",
            "::1",
            "[::1]x",
            "[::g]",
            "[v]",
            "[1.2.3.4]",
            ":80",
            "a:1:2",
            "u@a",
            "a/b",
            "a?b",
            "a#b",
            "a b",
            "a,b c",
            "a\\b",
            "a%4",
            "a%zz",
            "\u{e4}",
            "<a>",
            "a\tb",
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let status = request(head.as_bytes()).map_err(|error| error.status);
            assert_eq!(status.err(), Some(StatusCode::BAD_REQUEST), "{host:?}");
        }
        for target in [
            "http://u@a/",
            "http://a:99999/",
            "http://a:x/",
            "http://:80/",
            "http://[a]/",
            "http:///",
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(request(head.as_bytes()).is_err(), "{target:?}");
        }
        for target in [
            "a",
            "a:",
            "a:0",
            "a:99999",
            ":1",
            "/",
            "*",
            "http://a:1/",
            "u@a:1",
            "a:1/",
        ] {
            let head = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(request(head.as_bytes()).is_err(), "CONNECT {target:?}");
        }
    }

    #[test]
    fn every_form_of_a_host_is_accepted() {
        for host in [
            "",
            "a",
            "A.b-c_d~",
            "a%41",
            "%61",
            "a:",
            "a:0",
            "a:65535",
            "1.2.3.4",
            "1.2.3.4:80",
            "[::1]",
            "[::1]:8",
            "[1:2::3.4.5.6]",
            "[v1.a:b]",
            "a!$&'()*+,;=",
            "  a  ",
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert!(request(head.as_bytes()).is_ok(), "{host:?}");
        }
    }

    #[test]
    fn the_host_in_the_target_replaces_the_header() {
        let head = b"GET http://b:8/x HTTP/1.1\r\nHost: a\r\n\r\n";
        let request = request(head).unwrap();
        assert_eq!(request.headers()["host"], "b:8");
        assert_eq!(request.uri().path(), "/x");
    }

    #[test]
    fn a_head_that_has_arrived_needs_no_scan() {
        let head = b"GET /a HTTP/1.1\r\nHost: a\r\nX:  y \r\nEmpty:\r\n\r\n";
        let (length, request) = arrived(&[head, &b"rest\n"[..]].concat()).unwrap().unwrap();
        assert_eq!((length, request.headers().len()), (head.len(), 3));
        for cut in 0..head.len() {
            assert!(arrived(&head[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        for (target, value) in [(100, 1), (1, 400)] {
            let (target, value) = ("x".repeat(target), "x".repeat(value));
            let long = format!("GET /{target} HTTP/1.1\r\nHost: a\r\nA: {value}\r\n\r\n");
            assert!(arrived(long.as_bytes()).unwrap().is_none(), "{long:?}");
        }
    }

    #[test]
    fn a_head_is_parsed_where_it_has_arrived_only_if_a_scan_finds_nothing_wrong() {
        let heads = [
            "GET /a HTTP/1.1\r\nHost: a\r\nX: y \r\nEmpty:\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n\r\n",
        ];
        let mut parsed = 0;
        let mut check = |bytes: &[u8]| {
            if let Some(found) = arrived(bytes).transpose() {
                let scanned = HeadScanner::default().advance(bytes, &LIMITS);
                let text = String::from_utf8_lossy(bytes);
                assert!(matches!(scanned, Ok(Some(_))), "{text:?}");
                let scanned = self::scanned(bytes);
                assert_eq!(format!("{found:?}"), format!("{scanned:?}"), "{text:?}");
                parsed += 1;
            }
        };
        for head in heads.map(str::as_bytes) {
            for at in 0..=head.len() {
                let (before, after) = head.split_at(at);
                check(&[before, after.get(1..).unwrap_or_default()].concat());
                for piece in [
                    "\n", "\r", "\r\n", "\n\n", "\0", "\t", " ", ":", "x", "\u{e4}",
                ] {
                    check(&[before, piece.as_bytes(), after].concat());
                    let rest = after.get(1..).unwrap_or_default();
                    check(&[before, piece.as_bytes(), rest].concat());
                }
            }
        }
        assert!(parsed > 300, "{parsed}");
    }

    #[test]
    fn a_response_head_is_checked_by_the_same_rules() {
        assert!(response("HTTP/1.1 200\r\nA: b\r\n\r\n").is_ok());
        for head in [
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 99 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(response(head).is_err(), "{head:?}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_the_bytes_are_split() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..bytes.len() {
            let mut scanner = HeadScanner::default();
            let found = match scanner.advance(&bytes[..cut], &LIMITS).unwrap() {
                Some(end) => Some(end),
                None => scanner.advance(bytes, &LIMITS).unwrap(),
            };
            assert_eq!(found, Some(bytes.len() - 4), "split at {cut}");
        }
    }
}
