//! Where a body that comes in ends.
//!
//! `Decoder` takes a body off the wire and owes its users `[framed]`: it says that it is done only
//! when the next byte on the wire belongs to the next message.

use std::io;

use super::head::Fault;
use super::wire::{Transport, Wire};

/// What chunk extensions and trailers of one body may add up to: nobody here has a use for them.
const EXTRAS: usize = 4096;

/// What of a body is to come next.
///
/// ```text
/// Length(n) ... Length(0)                                                      done
/// UntilClose -- end of stream --> Length(0)                                    done
/// ChunkSize -- n --> ChunkData(n) ... ChunkData(0) -- CRLF --> ChunkSize
///           -- 0 --> Trailer ... -- empty line --> Length(0)                   done
/// any -- fault --> Broken(fault)                                               for good
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    Trailer,
    Broken(Fault),
}

/// Takes a body off the wire.
#[derive(Debug)]
pub(super) struct Decoder {
    pub(super) framing: Framing,
    /// What may still come before `max_body_bytes`.
    budget: u64,
    extras: usize,
}

impl Decoder {
    pub(super) const DONE: Self = Self {
        framing: Framing::Length(0),
        budget: 0,
        extras: 0,
    };

    pub(super) fn new(framing: Framing, max_body_bytes: u64) -> Result<Self, Fault> {
        match framing {
            Framing::Length(length) if length > max_body_bytes => Err(Fault::BODY_TOO_LONG),
            _ => Ok(Self {
                framing,
                budget: max_body_bytes,
                extras: EXTRAS,
            }),
        }
    }

    /// How much is left, where it was declared.
    pub(super) fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(left) => Some(left),
            _ => None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.framing == Framing::Length(0)
    }

    pub(super) fn read<S: Transport>(
        &mut self,
        wire: &mut Wire<S>,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        let result = if buf.is_empty() {
            Ok(0)
        } else {
            self.advance(wire, buf)
        };
        if let Some(fault) = result.as_ref().err().and_then(Fault::of) {
            self.framing = Framing::Broken(fault);
        }
        result
    }

    fn advance<S: Transport>(&mut self, wire: &mut Wire<S>, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.framing {
                Framing::Length(0) => return Ok(0),
                Framing::Length(left) => return read_within(wire, buf, left),
                Framing::UntilClose => {
                    let read = wire.read(buf)?;
                    if read == 0 {
                        self.framing = Framing::Length(0);
                    }
                    self.spend(read as u64)?;
                    return Ok(read);
                }
                Framing::ChunkSize => self.start_chunk(wire)?,
                Framing::ChunkData(0) => {
                    wire.line(
                        0,
                        Fault::malformed("a chunk is longer than its size"),
                        |_| Ok(()),
                    )?;
                    self.framing = Framing::ChunkSize;
                }
                Framing::ChunkData(left) => return read_within(wire, buf, left),
                Framing::Trailer => self.skip_trailer(wire)?,
                Framing::Broken(fault) => return Err((*fault).into()),
            }
        }
    }

    fn start_chunk<S: Transport>(&mut self, wire: &mut Wire<S>) -> io::Result<()> {
        let (size, extension) = wire.line(16 + self.extras, TOO_MANY_EXTRAS, |line| {
            let end = line
                .iter()
                .position(|&byte| byte == b';')
                .unwrap_or(line.len());
            Ok((parse_chunk_size(&line[..end])?, line.len() - end))
        })?;
        self.extras = self.extras.checked_sub(extension).ok_or(TOO_MANY_EXTRAS)?;
        self.spend(size)?;
        self.framing = if size == 0 {
            Framing::Trailer
        } else {
            Framing::ChunkData(size)
        };
        Ok(())
    }

    fn skip_trailer<S: Transport>(&mut self, wire: &mut Wire<S>) -> io::Result<()> {
        let length = wire.line(self.extras, TOO_MANY_EXTRAS, |line| {
            if line.is_empty() || line.iter().skip(1).any(|&byte| byte == b':') {
                Ok(line.len())
            } else {
                Err(Fault::malformed("a trailer is malformed"))
            }
        })?;
        self.extras = self.extras.saturating_sub(length + 2);
        if length == 0 {
            self.framing = Framing::Length(0);
        }
        Ok(())
    }

    fn spend(&mut self, bytes: u64) -> Result<(), Fault> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Fault::BODY_TOO_LONG)?;
        Ok(())
    }
}

const TOO_MANY_EXTRAS: Fault = Fault::malformed("chunk extensions and trailers exceed 4096 bytes");

/// Reads no further than `left`, before which the stream must not end.
fn read_within<S: Transport>(
    wire: &mut Wire<S>,
    buf: &mut [u8],
    left: &mut u64,
) -> io::Result<usize> {
    let most = usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()));
    let read = wire.read(&mut buf[..most])?;
    if read == 0 {
        let message = "the peer closed the connection in the middle of a body";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    *left -= read as u64;
    Ok(read)
}

/// Hexadecimal digits and nothing else, as many as a `u64` has.
fn parse_chunk_size(digits: &[u8]) -> Result<u64, Fault> {
    const FAULT: Fault = Fault::malformed("a chunk size is malformed");
    if digits.is_empty() || digits.len() > 16 {
        return Err(FAULT);
    }
    digits.iter().try_fold(0_u64, |size, &digit| {
        let digit = char::from(digit).to_digit(16).ok_or(FAULT)?;
        Ok(size << 4 | u64::from(digit))
    })
}
