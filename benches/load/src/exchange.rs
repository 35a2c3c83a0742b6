//! What is sent, and what is to come back.
//!
//! An echo is a window into a pattern that repeats after a prime number of bytes. Where the window
//! begins depends on the turn, so bytes of an earlier turn, or from elsewhere in this one, differ;
//! and nothing is copied to make a message. An HTTP exchange is always the same; its answer is
//! learned on a connection of its own, and of the later ones only the date may differ.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

use super::Target;

/// The length of the pattern: every byte value but a few, in one order.
const PERIOD: usize = 251;

/// See the file's beginning.
#[derive(Debug)]
pub(super) struct Exchange {
    /// All windows.
    outgoing: Vec<u8>,
    outgoing_len: usize,
    incoming: Vec<u8>,
    incoming_len: usize,
    /// How many windows there are.
    windows: usize,
    /// What may differ from `incoming`.
    varies: Range<usize>,
}

impl Exchange {
    /// What `target` says, and where to. Asks an HTTP server once.
    pub(super) fn prepare(target: &Target) -> io::Result<(SocketAddr, Self)> {
        match target {
            Target::Echo { size: 0, .. } => Err(io::Error::other("an echo has a byte at least")),
            Target::Echo { addr, size } => Ok((*addr, Self::echo(*size))),
            Target::Http { addr, path } => Ok((*addr, Self::http(*addr, path)?)),
        }
    }

    fn echo(size: usize) -> Self {
        let pattern: Vec<u8> = (0..size + PERIOD).map(|n| (n % PERIOD) as u8).collect();
        Self {
            outgoing: pattern.clone(),
            outgoing_len: size,
            incoming: pattern,
            incoming_len: size,
            windows: PERIOD,
            varies: 0..0,
        }
    }

    fn http(addr: SocketAddr, path: &str) -> io::Result<Self> {
        let outgoing = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes();
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(super::SILENCE_LIMIT))?;
        stream.write_all(&outgoing)?;
        let (incoming, varies) = read_response(&mut stream)?;
        Ok(Self {
            outgoing_len: outgoing.len(),
            outgoing,
            incoming_len: incoming.len(),
            incoming,
            windows: 1,
            varies,
        })
    }

    /// The request of a turn.
    pub(super) fn outgoing(&self, turn: usize) -> &[u8] {
        &self.outgoing[turn % self.windows..][..self.outgoing_len]
    }

    /// The length of an answer.
    pub(super) fn incoming_len(&self) -> usize {
        self.incoming_len
    }

    /// Whether `got` is what the answer of a turn has from `at` on.
    pub(super) fn check(&self, turn: usize, at: usize, got: &[u8]) -> io::Result<()> {
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
            && is_right(self.varies.end..self.incoming_len)
        {
            return Ok(());
        }
        let message = "what has come back is not what was expected";
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }
}

/// A whole response with `Content-Length`, and where its date stands.
fn read_response(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Range<usize>)> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut response = Vec::new();
    let head = loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        response.push(byte[0]);
        if response.ends_with(b"\r\n\r\n") {
            break str::from_utf8(&response).map_err(|_| invalid("a head that is no text"))?;
        }
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(invalid("a response that is not 200"));
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
    let length = length.ok_or_else(|| invalid("a response without Content-Length"))?;
    response.resize(at + length, 0);
    stream.read_exact(&mut response[at..])?;
    Ok((response, varies))
}
