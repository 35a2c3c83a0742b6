//! Where the head of a message ends.
//!
//! `HeadScanner` examines each byte once, however the bytes arrive. It rejects a bare LF, which
//! `httparse` would accept, before `httparse` is called. A head that has arrived in one piece and has
//! nothing wrong needs no scan: see `parse_arrived`.

use crate::error::ProtocolError;
use crate::limits::Limits;

/// The number of bytes of a request line that are allowed besides the target, for the method and
/// the version.
pub(crate) const REQUEST_LINE_OVERHEAD: usize = 64;

/// Searches for the end of a head in bytes that may still be arriving.
#[derive(Debug, Default)]
pub(crate) struct HeadScanner {
    at: usize,
    line_start: usize,
    lines: usize,
}

impl HeadScanner {
    /// Returns the length of the head if it is complete. Between calls `bytes` may only grow.
    pub(crate) fn advance(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        while self.at < bytes.len() {
            let is_after_cr = self.at > 0 && bytes[self.at - 1] == b'\r';
            let found = match is_after_cr {
                true => Some(0),
                false => find_control(&bytes[self.at..]),
            };
            let at = found.map_or(bytes.len(), |found| self.at + found + 1);
            self.check(&bytes[..at], limits)?;
            self.at = at;
            if found.is_none() {
                return Ok(None);
            }
            match (bytes[at - 1], is_after_cr) {
                (b'\n', true) => {
                    let is_empty = self.at - self.line_start == 2;
                    self.line_start = self.at;
                    match (is_empty, self.lines) {
                        (false, _) => self.lines += 1,
                        (true, 0) => return Err(ProtocolError::malformed("the head is empty")),
                        (true, _) => return Ok(Some(self.at)),
                    }
                }
                (_, true) => {
                    return Err(ProtocolError::malformed("there is a bare CR in the head"));
                }
                (b'\n', false) => {
                    return Err(ProtocolError::malformed("there is a bare LF in the head"));
                }
                (0, false) => return Err(ProtocolError::malformed("there is a NUL in the head")),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Checks the limits for a head that begins with `bytes`, which are to be scanned.
    fn check(&self, bytes: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
        if let (0, Some(target)) = (self.lines, limits.target)
            && let Some((line, [_, ..])) =
                bytes.split_at_checked(target.saturating_add(REQUEST_LINE_OVERHEAD))
        {
            let is_in_method = !line.contains(&b' ');
            return Err(match is_in_method {
                true => ProtocolError::METHOD_TOO_LONG,
                false => ProtocolError::TARGET_TOO_LONG,
            });
        }
        if bytes.len() > limits.head {
            return Err(ProtocolError::HEAD_TOO_LONG);
        }
        Ok(())
    }
}

/// Finds the first byte that may be NUL, LF or CR: one below 14. Eight bytes are examined at once.
fn find_control(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The top bit of the first byte below 14 is set; above that one, others may be set too.
        let found = word.wrapping_sub(14 * ONES) & !word & (128 * ONES);
        if found != 0 {
            return Some(8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|byte| *byte < 14);
    found.map(|at| bytes.len() - rest.len() + at)
}
