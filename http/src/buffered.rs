//! `BufferedStream`: a connection with an input buffer, and a deadline for all reads and writes.
//!
//! It keeps `[one-deadline]`, because every read and write of the stream goes through it.

use std::io::{self, Read};
use std::mem;
use std::time::{Duration, Instant};

use evy_net::Stream;
use evy_runtime::lowlevel::now;

use crate::error::ProtocolError;
use crate::head_scanner::HeadScanner;
use crate::limits::Limits;
use crate::pace::Pace;

/// The time limit of reads and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IoDeadline {
    /// One deadline for all calls together. `None` means without limit.
    Total(Option<Instant>),
    /// The limits of the transfer in each direction.
    Paced { reading: Pace, writing: Pace },
}

impl IoDeadline {
    /// Returns a deadline for all calls, `timeout` from now. If the clock cannot represent it,
    /// there is no limit.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self::since(now(), timeout)
    }

    /// Returns a deadline for all calls, `timeout` from `start`.
    pub(crate) fn since(start: Instant, timeout: Duration) -> Self {
        Self::Total(start.checked_add(timeout))
    }

    /// Returns how long a read may take.
    pub(crate) fn remaining(&self) -> io::Result<Option<Duration>> {
        self.remaining_for(|reading, _| reading)
    }

    fn remaining_for_write(&self) -> io::Result<Option<Duration>> {
        self.remaining_for(|_, writing| writing)
    }

    fn remaining_for<'a>(
        &'a self,
        choose: impl FnOnce(&'a Pace, &'a Pace) -> &'a Pace,
    ) -> io::Result<Option<Duration>> {
        let left = match self {
            Self::Total(None) => return Ok(None),
            Self::Total(Some(deadline)) => deadline.saturating_duration_since(now()),
            Self::Paced { reading, writing } => choose(reading, writing).remaining(),
        };
        if left.is_zero() {
            Err(timed_out())
        } else {
            Ok(Some(left))
        }
    }

    fn has_written(&self) -> bool {
        matches!(self, Self::Paced { writing, .. } if writing.has_moved())
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer took too long")
}

/// The initial size of the input buffer, which grows only for a longer head.
const INPUT_BUFFER: usize = 8 * 1024;

/// A connection with an input buffer. Successive messages share it: bytes read beyond the end of
/// one message belong to the next.
#[derive(Debug)]
pub(crate) struct BufferedStream<S> {
    pub(crate) stream: S,
    pub(crate) deadline: IoDeadline,
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// What is still to be written before anything else: answers that wait to leave together, and
    /// the rest of a write that was interrupted.
    output: Vec<u8>,
    /// Whether a write has failed. What was left of it is lost, so nothing more can be written.
    is_broken: bool,
    /// Whether reading is limited to what the buffer holds.
    buffered_only: bool,
}

impl<S> BufferedStream<S> {
    /// Takes the input buffer, if it holds nothing. Returns `None` if there is none of the usual
    /// size.
    pub(crate) fn take_input(&mut self) -> Option<Vec<u8>> {
        if self.start < self.end {
            return None;
        }
        (self.start, self.end) = (0, 0);
        Some(mem::take(&mut self.input)).filter(|input| input.len() == INPUT_BUFFER)
    }

    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Sets a buffer that [`take_input`](Self::take_input) has returned, because there is none.
    pub(crate) fn set_input(&mut self, input: Vec<u8>) {
        self.input = input;
    }

    /// Returns the buffer of what is still to be written.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Takes the buffer of what is to be written, if it holds nothing.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        match self.output.is_empty() {
            true => mem::take(&mut self.output),
            false => Vec::new(),
        }
    }
}

impl<S: Stream> BufferedStream<S> {
    pub(crate) fn new(stream: S, deadline: IoDeadline) -> Self {
        Self {
            stream,
            deadline,
            input: Vec::new(),
            start: 0,
            end: 0,
            output: Vec::new(),
            is_broken: false,
            buffered_only: false,
        }
    }

    /// Returns the stream, and the bytes that were read from it but not consumed.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        let read_ahead = self.buffered().to_vec();
        (self.stream, read_ahead)
    }

    /// Parks until there may be something to read, if the transport can wait without a buffer. The
    /// caller has set the timeout.
    pub(crate) fn wait_within_timeout(&mut self) -> io::Result<()> {
        retry(|| self.stream.wait_readable())
    }

    /// Reads from the stream into the buffer once, when there is something to read. Returns 0 at
    /// the end of the stream. The caller has set the timeout.
    pub(crate) fn fill_within_timeout(&mut self) -> io::Result<usize> {
        self.make_room();
        let read = retry(|| self.stream.read(&mut self.input[self.end..]))?;
        self.end += read;
        Ok(read)
    }

    /// Runs `f`. A read in it fails with `WouldBlock` instead of reading from the stream.
    pub(crate) fn without_reading<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        self.buffered_only = true;
        let result = f(self);
        self.buffered_only = false;
        result
    }

    /// Consumes empty lines at the start of the buffer, which may precede a request (RFC 9112, 2.2).
    pub(crate) fn skip_empty_lines(&mut self) {
        while self.buffered().starts_with(b"\r\n") {
            self.consume(2);
        }
    }

    /// Returns the bytes that have been read from the stream but not consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end);
    }

    /// Reads from the stream into the buffer once. Returns 0 at the end of the stream.
    ///
    /// What is still to be written is written first, because the peer may wait for it.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        if self.buffered_only {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.flush()?;
        self.make_room();
        let read = read_stream(
            &mut self.stream,
            &mut self.deadline,
            &mut self.input[self.end..],
        )?;
        self.end += read;
        Ok(read)
    }

    /// Makes room in the buffer for a read.
    fn make_room(&mut self) {
        if self.start > 0 && (self.start == self.end || self.end == self.input.len()) {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.input.len() {
            self.input.resize((2 * self.end).max(INPUT_BUFFER), 0);
        }
    }

    /// Reads from the buffer or, if it is empty, once from the stream.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            if buf.len() >= INPUT_BUFFER && !self.buffered_only {
                self.flush()?;
                return read_stream(&mut self.stream, &mut self.deadline, buf);
            }
            self.fill()?;
        }
        let read = self.buffered().read(buf)?;
        self.consume(read);
        Ok(read)
    }

    /// Reads until the head at the start of the buffer is complete, and returns its length. Returns
    /// `None` if the stream ends before the first byte of the head.
    pub(crate) fn head(&mut self, limits: &Limits) -> io::Result<Option<usize>> {
        let mut scanner = HeadScanner::default();
        loop {
            if limits.target.is_some() && self.buffered().starts_with(b"\r\n") {
                self.skip_empty_lines();
                scanner = HeadScanner::default();
            }
            if let Some(length) = scanner.advance(self.buffered(), limits)? {
                return Ok(Some(length));
            }
            if self.fill()? == 0 {
                return if self.start == self.end {
                    Ok(None)
                } else {
                    Err(unexpected_eof())
                };
            }
        }
    }

    /// Parses a line of at most `limit` bytes with `parse`, and consumes it together with its CRLF.
    pub(crate) fn line<T>(
        &mut self,
        limit: usize,
        too_long: ProtocolError,
        parse: impl FnOnce(&[u8]) -> Result<T, ProtocolError>,
    ) -> io::Result<T> {
        let mut seen = 0;
        let length = loop {
            let bytes = self.buffered();
            if let Some(at) = bytes[seen..].iter().position(|&byte| byte == b'\n') {
                break seen + at;
            }
            seen = bytes.len();
            if seen >= limit + 2 {
                return Err(too_long.into());
            }
            if self.fill()? == 0 {
                return Err(unexpected_eof());
            }
        };
        let Some(line) = self.buffered()[..length].strip_suffix(b"\r") else {
            return Err(ProtocolError::malformed("there is a bare LF in a body").into());
        };
        if line.len() > limit {
            return Err(too_long.into());
        }
        if line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(ProtocolError::malformed("there is a NUL or a bare CR in a body").into());
        }
        let value = parse(line)?;
        self.consume(length + 1);
        Ok(value)
    }

    /// Queues `bytes`, to be written together with what follows.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Returns the number of bytes that are still to be written.
    pub(crate) fn queued(&self) -> usize {
        self.output.len()
    }

    /// Whether a write has failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether something was to be written, and was not.
    pub(crate) fn has_unsent(&self) -> bool {
        self.is_broken || !self.output.is_empty()
    }

    /// Writes what is still to be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let mut output = mem::take(&mut self.output);
        let result = self.write_now(&output);
        if self.output.is_empty() {
            // Kept for the next answers.
            output.clear();
            self.output = output;
        }
        result
    }

    /// Writes what is still to be written, also what a transport such as TLS could not send in time.
    pub(crate) fn flush_transport(&mut self) -> io::Result<()> {
        self.flush()?;
        let flushed = retry(|| self.stream.flush());
        self.is_broken |= flushed.is_err();
        flushed
    }

    /// Writes `bytes`, after what is still to be written. If that is interrupted, the rest is
    /// written before anything else. If it fails, all further writes do.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.output.is_empty() {
            return self.write_now(bytes);
        }
        self.queue(bytes);
        self.flush()
    }

    fn write_now(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut unsent = Unsent {
            bytes,
            output: &mut self.output,
        };
        while !unsent.bytes.is_empty() {
            match write_stream(&mut self.stream, &mut self.deadline, unsent.bytes) {
                Ok(written) => unsent.bytes = &unsent.bytes[written..],
                Err(error) => {
                    // Otherwise the rest would be queued, which may be all of a large body.
                    unsent.bytes = &[];
                    self.is_broken = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// The bytes of a write that are left. They are queued if the write unwinds.
struct Unsent<'a> {
    bytes: &'a [u8],
    output: &'a mut Vec<u8>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.output.extend_from_slice(self.bytes);
    }
}

fn read_stream<S: Stream>(
    stream: &mut S,
    deadline: &mut IoDeadline,
    buf: &mut [u8],
) -> io::Result<usize> {
    stream.set_read_timeout(deadline.remaining()?)?;
    let IoDeadline::Paced { reading, .. } = deadline else {
        return retry(|| stream.read(buf));
    };
    let start = now();
    let result = retry(|| stream.read(buf));
    let read = result.as_ref().map_or(0, |read| *read);
    reading.record(now().saturating_duration_since(start), read);
    result
}

/// Writes some of `bytes`, which are not empty.
fn write_stream<S: Stream>(
    stream: &mut S,
    deadline: &mut IoDeadline,
    bytes: &[u8],
) -> io::Result<usize> {
    let left = deadline.remaining_for_write()?;
    stream.set_write_timeout(left)?;
    // Most messages take one write, which does not wait for the peer.
    let start = deadline.has_written().then(now);
    let written = retry(|| stream.write(bytes))?;
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    if let IoDeadline::Paced { writing, .. } = deadline {
        let waited = start.map_or(Duration::ZERO, |start| {
            now().saturating_duration_since(start)
        });
        writing.record(waited, written);
    }
    Ok(written)
}

/// Repeats `attempt` for as long as signals interrupt it. A timeout of the socket is always
/// returned as `TimedOut`, even if the socket reports `WouldBlock`.
fn retry<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        return match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(timed_out()),
            // The timeout of a socket. That of the system, for a peer that is gone, keeps its code.
            Err(error)
                if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() =>
            {
                Err(timed_out())
            }
            result => result,
        };
    }
}

pub(crate) fn unexpected_eof() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed the connection in the middle of a message",
    )
}

#[cfg(test)]
mod tests {
    use super::{BufferedStream, IoDeadline};
    use crate::mock_stream::MockStream;
    use std::io::ErrorKind;
    use std::time::Duration;

    #[test]
    fn what_a_failed_write_leaves_is_not_kept_and_nothing_follows_it() {
        let mock = MockStream::default();
        let writes = mock.writes.clone();
        let mut stream = BufferedStream::new(mock, IoDeadline::after(Duration::ZERO));
        let error = stream.write_all(&[0; 10_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(stream.queued(), 0);
        assert!(stream.has_unsent());
        stream.deadline = IoDeadline::after(Duration::from_secs(10));
        let error = stream.write_all(b"next").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(writes.borrow().is_empty());
    }
}
