//! Heads: the lines before a body, read and written.

use std::io::{self, Read};

use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};

use super::conn::{Conn, invalid, truncated};

/// How much a head may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) target: usize,
    pub(super) bytes: usize,
    pub(super) headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            target: 8 * 1024,
            bytes: 64 * 1024,
            headers: 100,
        }
    }
}

/// Why a head is refused, as a server would answer it.
#[derive(Debug)]
pub(super) enum Refusal {
    Status(StatusCode),
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

impl Refusal {
    /// As a client reports it.
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            Self::Status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => {
                invalid("the head of the response is over the limit")
            }
            Self::Status(_) => invalid("the head of the response is malformed"),
        }
    }
}

/// Reads up to the empty line and returns how many bytes the head has; they stay in the buffer.
/// `None`: the stream has ended before the first of them.
fn find_end<S: Read>(conn: &mut Conn<S>, limits: &Limits) -> Result<Option<usize>, Refusal> {
    let mut seen = 0usize;
    loop {
        let bytes = conn.buffered();
        // The end may straddle what was seen before.
        let from = seen.saturating_sub(3);
        if let Some(at) = bytes[from..]
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
        {
            let end = from + at + 4;
            if end > limits.bytes {
                return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into());
            }
            return match has_bare_break(&bytes[..end]) {
                true => Err(StatusCode::BAD_REQUEST.into()),
                false => Ok(Some(end)),
            };
        }
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        if line_end.is_none() && bytes.len() > limits.target + 64 {
            return Err(StatusCode::URI_TOO_LONG.into());
        }
        if bytes.len() > limits.bytes {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into());
        }
        seen = bytes.len();
        if conn.fill()? == 0 {
            return if seen == 0 {
                Ok(None)
            } else {
                Err(truncated().into())
            };
        }
    }
}

/// A line break that is not CR LF: some readers take it for one, others do not.
fn has_bare_break(head: &[u8]) -> bool {
    head.windows(2)
        .any(|two| (two[1] == b'\n') != (two[0] == b'\r'))
}

/// The next request on a connection; `None` when there is none.
pub(super) fn read_request<S: Read>(
    conn: &mut Conn<S>,
    limits: &Limits,
) -> Result<Option<Request<()>>, Refusal> {
    // An empty line before a request is passed over, as some old clients send one after a body.
    while conn.buffered().starts_with(b"\r\n") {
        conn.consume(2);
    }
    let Some(end) = find_end(conn, limits)? else {
        return Ok(None);
    };
    let mut slots = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut parsed = httparse::Request::new(&mut slots);
    whole(parsed.parse(&conn.buffered()[..end]))?;
    let target = parsed.path.unwrap_or_default();
    if target.len() > limits.target {
        return Err(StatusCode::URI_TOO_LONG.into());
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    *request.uri_mut() = target.parse::<Uri>().map_err(|_| StatusCode::BAD_REQUEST)?;
    *request.version_mut() = version(parsed.version);
    *request.headers_mut() = headers(parsed.headers).map_err(|_| StatusCode::BAD_REQUEST)?;
    conn.consume(end);
    check_host(&request)?;
    Ok(Some(request))
}

/// Exactly one Host in HTTP/1.1, the same as in the target if that has one.
fn check_host(request: &Request<()>) -> Result<(), StatusCode> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let missing = host.is_none() && request.version() == Version::HTTP_11;
    let differs = match (host, request.uri().authority()) {
        (Some(host), Some(authority)) => !host
            .as_bytes()
            .eq_ignore_ascii_case(authority.as_str().as_bytes()),
        _ => false,
    };
    if missing || more.is_some() || differs {
        Err(StatusCode::BAD_REQUEST)
    } else {
        Ok(())
    }
}

/// The head of a response; `None` if the connection has ended before it.
pub(super) fn read_response<S: Read>(
    conn: &mut Conn<S>,
    limits: &Limits,
) -> Result<Option<Response<()>>, Refusal> {
    let Some(end) = find_end(conn, limits)? else {
        return Ok(None);
    };
    let mut slots = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut parsed = httparse::Response::new(&mut slots);
    whole(parsed.parse(&conn.buffered()[..end]))?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    *response.version_mut() = version(parsed.version);
    *response.headers_mut() = headers(parsed.headers).map_err(|_| StatusCode::BAD_REQUEST)?;
    conn.consume(end);
    Ok(Some(response))
}

/// A head whose end was found must be whole, and well-formed.
fn whole(parsed: httparse::Result<usize>) -> Result<(), StatusCode> {
    match parsed {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Ok(httparse::Status::Partial) | Err(_) => Err(StatusCode::BAD_REQUEST),
    }
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    }
}

fn headers(parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, http::Error> {
    let mut map = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes())?;
        map.append(name, HeaderValue::from_bytes(header.value)?);
    }
    Ok(map)
}

/// Whether the other side wants to keep the connection.
pub(super) fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    let says = |what: &str| {
        let values = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(what))
    };
    if version == Version::HTTP_10 {
        says("keep-alive") && !says("close")
    } else {
        !says("close")
    }
}

/// Appends a header line.
pub(super) fn write_header(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::{Limits, Refusal, read_request};
    use crate::http::conn::Conn;
    use http::StatusCode;

    fn parse(wire: &[u8]) -> Result<Option<http::Request<()>>, Refusal> {
        read_request(
            &mut Conn::new(wire),
            &Limits {
                target: 100,
                bytes: 1000,
                headers: 4,
            },
        )
    }

    fn status(wire: &[u8]) -> Option<StatusCode> {
        match parse(wire) {
            Err(Refusal::Status(status)) => Some(status),
            _ => None,
        }
    }

    #[test]
    fn a_plain_head() {
        let request = parse(b"\r\nGET /x?y HTTP/1.1\r\nHost: h\r\nA: 1\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(
            (request.uri().path(), request.uri().query()),
            ("/x", Some("y"))
        );
        assert_eq!(request.headers()["a"], "1");
        assert!(parse(b"").unwrap().is_none());
        assert!(matches!(parse(b"GET / HT"), Err(Refusal::Io(_))));
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        let bad: [&[u8]; 10] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            b"nonsense\r\n\r\n",
        ];
        for wire in bad {
            assert_eq!(
                status(wire),
                Some(StatusCode::BAD_REQUEST),
                "{}",
                wire.escape_ascii()
            );
        }
    }

    #[test]
    fn limits_have_their_own_answers() {
        let long = [b"GET /", &[b'x'; 200][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(status(&long), Some(StatusCode::URI_TOO_LONG));
        let large = [b"GET / HTTP/1.1\r\nHost: ", &[b'x'; 2000][..], b"\r\n\r\n"].concat();
        assert_eq!(
            status(&large),
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        );
        let many = b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n";
        assert_eq!(
            status(many),
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        );
    }
}
