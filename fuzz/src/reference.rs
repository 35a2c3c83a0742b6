//! The reference: messages as `httparse` reads them, with the framing of RFC 9112.
//!
//! It accepts more than evy does. Where evy accepts a message, the two must agree.

use httparse::{EMPTY_HEADER, Header, Status, parse_chunk_size};

/// A message, and how many bytes it takes.
#[derive(Debug)]
pub(crate) struct Message {
    /// The method and the target, or the status.
    pub(crate) start: (String, String),
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// What was read of the body. It is incomplete if `length` is `None`.
    pub(crate) body: Vec<u8>,
    pub(crate) length: Option<usize>,
}

/// What a body ends with if no header says so.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    Empty,
    UntilClose,
}

/// Reads a request. Returns `None` if its head is malformed or incomplete.
pub(crate) fn request(bytes: &[u8]) -> Option<Message> {
    let bytes = &with_known_version(bytes);
    let mut table = [EMPTY_HEADER; 256];
    let mut head = httparse::Request::new(&mut table);
    let Ok(Status::Complete(length)) = head.parse(bytes) else {
        return None;
    };
    let start = (head.method?.to_owned(), head.path?.to_owned());
    Some(message(start, head.headers, bytes, length, Default::Empty))
}

/// Reads a response that is final. Returns `None` if its head is malformed or incomplete.
pub(crate) fn response(bytes: &[u8]) -> Option<Message> {
    let mut bytes = bytes.to_vec();
    loop {
        if let [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            minor @ b'2'..=b'9',
            b' ',
            ..,
        ] = bytes.as_mut_slice()
        {
            *minor = b'1';
        }
        let mut table = [EMPTY_HEADER; 256];
        let mut head = httparse::Response::new(&mut table);
        let Ok(Status::Complete(length)) = head.parse(&bytes) else {
            return None;
        };
        let start = (head.code?.to_string(), String::new());
        match head.code? {
            100..200 => bytes = bytes.split_off(length),
            204 | 304 => return Some(message(start, &mut [], &bytes, length, Default::Empty)),
            _ => {
                return Some(message(
                    start,
                    head.headers,
                    &bytes,
                    length,
                    Default::UntilClose,
                ));
            }
        }
    }
}

fn message(
    start: (String, String),
    headers: &mut [Header<'_>],
    bytes: &[u8],
    head_length: usize,
    default: Default,
) -> Message {
    let is = |header: &Header<'_>, name| header.name.eq_ignore_ascii_case(name);
    let length_of = |header: &Header<'_>| str::from_utf8(header.value).ok()?.trim().parse().ok();
    let declared = headers.iter().find(|header| is(header, "content-length"));
    let rest = &bytes[head_length..];
    let (body, taken) = if headers.iter().any(|header| is(header, "transfer-encoding")) {
        chunks(rest)
    } else if let Some(declared) = declared {
        match length_of(declared) {
            Some(length) if length <= rest.len() => (rest[..length].to_vec(), Some(length)),
            _ => (rest.to_vec(), None),
        }
    } else if let Default::UntilClose = default {
        (rest.to_vec(), Some(rest.len()))
    } else {
        (Vec::new(), Some(0))
    };
    let copy = |header: &Header<'_>| (header.name.to_ascii_lowercase(), header.value.to_vec());
    Message {
        start,
        headers: headers.iter().map(copy).collect(),
        body,
        length: taken.map(|taken| head_length + taken),
    }
}

/// Reads chunks and trailers, up to the first error.
fn chunks(bytes: &[u8]) -> (Vec<u8>, Option<usize>) {
    let mut body = Vec::new();
    let mut at = 0;
    while let Ok(Status::Complete((start, size))) = parse_chunk_size(&bytes[at..]) {
        at += start;
        if size == 0 {
            return (body, trailers(&bytes[at..]).map(|length| at + length));
        }
        let rest = &bytes[at..];
        let data = &rest[..rest.len().min(usize::try_from(size).unwrap_or(usize::MAX))];
        body.extend_from_slice(data);
        at += data.len();
        if !bytes[at..].starts_with(b"\r\n") {
            break;
        }
        at += 2;
    }
    (body, None)
}

fn trailers(bytes: &[u8]) -> Option<usize> {
    let mut table = [EMPTY_HEADER; 2048];
    match httparse::parse_headers(bytes, &mut table) {
        Ok(Status::Complete((length, _))) => Some(length),
        _ => None,
    }
}

/// A later minor version of HTTP/1 is read as HTTP/1.1, which `httparse` does not do.
fn with_known_version(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let start = bytes
        .iter()
        .position(|byte| !b"\r\n".contains(byte))
        .unwrap_or(0);
    let line = &mut bytes[start..];
    let length = line.iter().position(|&byte| byte == b'\r').unwrap_or(0);
    if let [
        ..,
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        minor @ b'2'..=b'9',
    ] = &mut line[..length]
    {
        *minor = b'1';
    }
    bytes
}
