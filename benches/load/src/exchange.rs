//! The bytes that are sent, and the bytes that are expected in return.
//!
//! An echo message is a window into a pattern that repeats after a prime number of bytes. The start
//! of the window depends on the number of the request. Bytes of an earlier message, or from another
//! position in the same message, therefore differ from the expected ones. A window also needs no
//! copy.
//!
//! An HTTP exchange is always the same. The expected response is read on a separate connection
//! first; later responses may differ from it only in their date.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

use super::Target;

/// The length of the pattern, which has nearly all byte values, in ascending order.
const PERIOD: usize = 251;

/// The request and the expected response of each turn.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The bytes that all windows lie in.
    outgoing: Vec<u8>,
    outgoing_len: usize,
    incoming: Vec<u8>,
    incoming_len: usize,
    /// The number of different windows.
    windows: usize,
    /// The length of each of the responses to requests that were sent together.
    part: usize,
    /// The range of a response that may differ from `incoming`.
    varies: Range<usize>,
}

impl Exchange {
    /// Returns the address of `target` and the exchange with it. Sends one request to an HTTP
    /// server.
    pub(super) fn prepare(target: &Target) -> io::Result<(SocketAddr, Self)> {
        match target {
            Target::Echo { size: 0, .. } => Err(io::Error::other(
                "the size of an echo must be at least one byte",
            )),
            Target::Echo { addr, size } => Ok((*addr, Self::echo(*size))),
            Target::Http {
                addr,
                path,
                pipelined,
            } => Ok((*addr, Self::http(*addr, path, *pipelined)?)),
        }
    }

    fn echo(size: usize) -> Self {
        let pattern: Vec<u8> = (0..size + PERIOD).map(|n| (n % PERIOD) as u8).collect();
        Self {
            outgoing: pattern.clone(),
            outgoing_len: size,
            incoming: pattern,
            incoming_len: size,
            part: size,
            windows: PERIOD,
            varies: 0..0,
        }
    }

    fn http(addr: SocketAddr, path: &str, pipelined: usize) -> io::Result<Self> {
        let outgoing = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes();
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(super::SILENCE_LIMIT))?;
        stream.write_all(&outgoing)?;
        let (incoming, varies) = read_response(&mut stream)?;
        let outgoing = outgoing.repeat(pipelined);
        Ok(Self {
            outgoing_len: outgoing.len(),
            outgoing,
            incoming_len: incoming.len() * pipelined,
            part: incoming.len(),
            incoming: incoming.repeat(pipelined),
            windows: 1,
            varies,
        })
    }

    /// Returns the request of a turn.
    pub(super) fn outgoing(&self, turn: usize) -> &[u8] {
        &self.outgoing[turn % self.windows..][..self.outgoing_len]
    }

    /// Returns the length of a response.
    pub(super) fn incoming_len(&self) -> usize {
        self.incoming_len
    }

    /// Checks that `got` is what the response of a turn contains from offset `at` on.
    pub(super) fn check(&self, turn: usize, at: usize, got: &[u8]) -> io::Result<()> {
        // Each of several responses may differ in the same range.
        let (first, rest) = got.split_at(got.len().min(self.part - at % self.part));
        if !rest.is_empty() {
            self.check(turn, at, first)?;
            return self.check(turn, at + first.len(), rest);
        }
        if at >= self.part && at < self.incoming_len {
            return self.check(turn, at % self.part, got);
        }
        let expected = &self.incoming[turn % self.windows..][..self.incoming_len][at..];
        let is_right = |part: Range<usize>| {
            let part = part.start.max(at)..part.end.min(at + got.len());
            part.is_empty() || {
                let part = part.start - at..part.end - at;
                got[part.clone()] == expected[part]
            }
        };
        if got.len() <= expected.len()
            && is_right(0..self.varies.start)
            && is_right(self.varies.end..self.part)
        {
            return Ok(());
        }
        let message = "the response differs from what was expected";
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }
}

/// Reads a whole response with `Content-Length`. Also returns the position of its `Date` value.
fn read_response(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Range<usize>)> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut response = Vec::new();
    let head = loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        response.push(byte[0]);
        if response.ends_with(b"\r\n\r\n") {
            break str::from_utf8(&response)
                .map_err(|_| invalid("the response head is not valid UTF-8"))?;
        }
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(invalid("the status of the response is not 200"));
    }
    let (mut length, mut varies, mut at) = (None::<usize>, 0..0, 0);
    for line in head.split_inclusive("\r\n") {
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("date") {
            varies = at + name.len()..at + line.len();
        }
        at += line.len();
    }
    let length = length.ok_or_else(|| invalid("the response has no Content-Length"))?;
    response.resize(at + length, 0);
    stream.read_exact(&mut response[at..])?;
    Ok((response, varies))
}
