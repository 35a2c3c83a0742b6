//! Where a body ends: by length, by chunks, or with the connection.

use std::io::{self, Read};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Version};

use super::conn::{Conn, invalid, truncated};

/// The longest line that may announce a chunk, extensions included.
const CHUNK_LINE: usize = 256;
/// All trailers together.
const TRAILERS: usize = 8 * 1024;

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Bytes left.
    Length(u64),
    /// Within chunks.
    Chunked(Chunk),
    /// Everything up to the end of the connection.
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// A line with a size comes next.
    Size,
    /// Bytes left of this chunk.
    Data(u64),
    Done,
}

/// What the headers say of the body; `None`: nothing.
///
/// # Errors
///
/// `InvalidData` for everything that two readers could take differently.
pub(super) fn announced(headers: &HeaderMap, version: Version) -> io::Result<Option<Framing>> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let lengths = headers.get_all(CONTENT_LENGTH);
    if let Some(coding) = codings.next() {
        if version == Version::HTTP_10 {
            return Err(invalid("Transfer-Encoding in a message of HTTP/1.0"));
        }
        if lengths.iter().next().is_some() {
            return Err(invalid("both Transfer-Encoding and Content-Length"));
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(invalid("a Transfer-Encoding other than chunked"));
        }
        return Ok(Some(Framing::Chunked(Chunk::Size)));
    }
    let mut length = None;
    for value in lengths {
        for one in value.as_bytes().split(|byte| *byte == b',') {
            let one = decimal(one.trim_ascii())?;
            if length.is_some_and(|length| length != one) {
                return Err(invalid("two Content-Lengths that differ"));
            }
            length = Some(one);
        }
    }
    Ok(length.map(Framing::Length))
}

fn decimal(digits: &[u8]) -> io::Result<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(invalid("a Content-Length that is no number"));
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    digits
        .parse()
        .map_err(|_| invalid("a Content-Length that is no number"))
}

/// The size of a chunk, by the line that announces it.
fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let end = line
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(line.len());
    let digits = line[..end].trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(invalid("a chunk size that is no hexadecimal number"));
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| invalid("a chunk size that is too large"))
}

impl Framing {
    /// Whether the body was read to its end.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// Reads some of the body; `0` at its end.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof`, `InvalidData`, and the connection's.
    pub(super) fn read<S: Read>(
        &mut self,
        conn: &mut Conn<S>,
        out: &mut [u8],
    ) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        match self {
            Self::UntilClose => conn.read(out),
            Self::Length(left) => read_of(conn, left, out),
            Self::Chunked(chunk) => loop {
                match chunk {
                    Chunk::Done => return Ok(0),
                    Chunk::Size => match chunk_size(&conn.read_line(CHUNK_LINE)?)? {
                        0 => {
                            skip_trailers(conn)?;
                            *chunk = Chunk::Done;
                        }
                        size => *chunk = Chunk::Data(size),
                    },
                    Chunk::Data(left) => {
                        let n = read_of(conn, left, out)?;
                        if *left == 0 {
                            *chunk = Chunk::Size;
                            if !conn.read_line(0)?.is_empty() {
                                return Err(invalid("a chunk longer than announced"));
                            }
                        }
                        return Ok(n);
                    }
                }
            },
        }
    }
}

fn read_of<S: Read>(conn: &mut Conn<S>, left: &mut u64, out: &mut [u8]) -> io::Result<usize> {
    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len());
    if most == 0 {
        return Ok(0);
    }
    match conn.read(&mut out[..most])? {
        0 => Err(truncated()),
        n => {
            *left -= n as u64;
            Ok(n)
        }
    }
}

fn skip_trailers<S: Read>(conn: &mut Conn<S>) -> io::Result<()> {
    let mut left = TRAILERS;
    loop {
        let line = conn.read_line(left)?;
        if line.is_empty() {
            return Ok(());
        }
        left = left
            .checked_sub(line.len() + 2)
            .ok_or_else(|| invalid("too many trailers"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::conn::Conn;
    use super::{Chunk, Framing, announced, chunk_size};
    use http::{HeaderMap, HeaderName, HeaderValue, Version};
    use std::io::{self, Read};

    /// Gives its parts one by one.
    struct Parts(Vec<Vec<u8>>);

    impl Read for Parts {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let part = self.0.remove(0);
            buf[..part.len()].copy_from_slice(&part);
            Ok(part.len())
        }
    }

    fn decode(parts: Vec<Vec<u8>>) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut conn = Conn::new(Parts(parts));
        let mut framing = Framing::Chunked(Chunk::Size);
        let (mut body, mut buf) = (Vec::new(), [0; 7]);
        loop {
            match framing.read(&mut conn, &mut buf)? {
                0 => break,
                n => body.extend_from_slice(&buf[..n]),
            }
        }
        let mut rest = conn.buffered().to_vec();
        while conn.fill()? > 0 {
            rest = conn.buffered().to_vec();
        }
        Ok((body, rest))
    }

    #[test]
    fn chunks_are_the_same_wherever_the_stream_is_cut() {
        let wire = b"5\r\nhello\r\nA;ext=1\r\n, chunked \r\n0\r\nTrailer: x\r\n\r\nNEXT";
        for cut in 1..wire.len() {
            let parts = vec![wire[..cut].to_vec(), wire[cut..].to_vec()];
            let (body, rest) = decode(parts).unwrap();
            assert_eq!(
                (body.as_slice(), rest.as_slice()),
                (&b"hello, chunked "[..], &b"NEXT"[..])
            );
        }
        let single = wire.iter().map(|byte| vec![*byte]).collect();
        assert_eq!(decode(single).unwrap().0, b"hello, chunked ");
    }

    #[test]
    fn strict_chunks() {
        let bad: [&[u8]; 9] = [
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloJUNK\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"11111111111111111\r\nx",
            b"\r\n",
            b"5\r\nhel",
        ];
        for wire in bad {
            assert!(
                decode(vec![wire.to_vec()]).is_err(),
                "{}",
                wire.escape_ascii()
            );
        }
        assert!(
            decode(vec![
                [&b"5;"[..], &[b'x'; 300], b"\r\nhello\r\n0\r\n\r\n"].concat()
            ])
            .is_err()
        );
        assert!(chunk_size(b"ffffffffffffffff").is_ok());
    }

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn strict_framing() {
        let bad: [&[(&str, &str)]; 8] = [
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            &[("content-length", "5, 6")],
            &[("content-length", "")],
            &[("content-length", "-1")],
            &[("content-length", "+1")],
            &[("content-length", "99999999999999999999")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "xchunked")],
        ];
        for case in bad {
            assert!(
                announced(&headers(case), Version::HTTP_11).is_err(),
                "{case:?}"
            );
        }
        let chunked = headers(&[("transfer-encoding", "Chunked")]);
        assert!(announced(&chunked, Version::HTTP_10).is_err());
        assert_eq!(
            announced(&chunked, Version::HTTP_11).unwrap(),
            Some(Framing::Chunked(Chunk::Size))
        );
        let twice = headers(&[("content-length", "5, 5")]);
        assert_eq!(
            announced(&twice, Version::HTTP_11).unwrap(),
            Some(Framing::Length(5))
        );
        assert_eq!(
            announced(&HeaderMap::new(), Version::HTTP_11).unwrap(),
            None
        );
    }
}
