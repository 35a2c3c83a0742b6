//! `Connection`: the state of one connection of the server, in a message or between two.

use std::io;
use std::time::Duration;

use evy_net::Stream;
use evy_runtime::lowlevel::{charge, now, release_stack};
use evy_runtime::{timeout, yield_now};
use http::header::{EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Version};

use super::registry::{ConnectionGuard, Phase};
use super::settings::Settings;
use super::spares::Spares;
use crate::body::Body;
use crate::buffered::{BufferedStream, IoDeadline};
use crate::decoder::{Decoder, DecoderState, body_framing};
use crate::error::ProtocolError;
use crate::head::{self, HeadersSeen, content_length};
use crate::host::LastHost;
use crate::pace::{Pace, PaceLimits};

/// The number of unread body bytes that are skipped to reach the next request.
const MAX_DRAIN_BYTES: usize = 64 * 1024;

/// The number of requests that are answered in a row before other green threads run, and of answers
/// that leave together.
const MAX_PIPELINED: u32 = 16;

/// The maximum number of bytes of answers that wait to leave together.
const MAX_QUEUED_BYTES: usize = 64 * 1024;

/// The limits on input that is discarded after a last response, so that the peer's further input
/// does not destroy that response. A client that is still sending a large body needs longer than
/// one that sends little.
const LINGER: PaceLimits = PaceLimits {
    stall: Duration::from_secs(2),
    min_rate: 16 * 1024,
    total: Some(Duration::from_secs(30)),
};

/// How long a connection is idle before it keeps as little memory as it can.
const QUIET: Duration = Duration::from_secs(1);

/// How long the last part of a transport's protocol may take to be written.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// What went wrong while the body of a request was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The request is answered with the status of the error.
    Answer(ProtocolError),
    /// The client is gone.
    Gone,
}

/// A connection, in a message or between two.
pub(super) struct Connection<S> {
    pub(super) stream: BufferedStream<S>,
    decoder: Decoder,
    /// Counts the requests. The body of an earlier request has nothing left to read.
    pub(super) request_number: u64,
    /// The request line of the current request, if it is kept for reports.
    pub(super) line: Vec<u8>,
    last_host: LastHost,
    /// Whether the head of the current request was accepted, so that it is known where the request
    /// ends.
    is_accepted: bool,
    /// Whether the client waits for `100 Continue`.
    pub(super) expect_continue: bool,
    /// Whether the client understands `100 Continue`, and no part of the response was sent.
    may_continue: bool,
    /// The error in the body of the request, if one is known.
    pub(super) fault: Option<Fault>,
    /// Whether a part of a response was sent, but not all of it.
    is_cut_off: bool,
    /// Whether the end of the stream was sent.
    is_write_closed: bool,
    /// Whether a green thread was spawned that flushes the answers that wait.
    pub(super) has_flusher: bool,
    /// The number of requests since the stream was last read.
    pipelined: u32,
}

impl<S: Stream> Connection<S> {
    pub(super) fn new(stream: S, settings: &Settings) -> Self {
        Self {
            stream: BufferedStream::new(stream, IoDeadline::after(settings.head_timeout)),
            decoder: Decoder::DONE,
            request_number: 0,
            line: Vec::new(),
            last_host: LastHost::default(),
            is_accepted: false,
            expect_continue: false,
            may_continue: false,
            fault: None,
            is_cut_off: false,
            is_write_closed: false,
            has_flusher: false,
            pipelined: 0,
        }
    }

    /// Performs the handshake of the transport, within the time for a head.
    pub(super) fn handshake(&mut self, settings: &Settings) -> io::Result<()> {
        let stream = &mut self.stream.stream;
        stream.set_read_timeout(Some(settings.head_timeout))?;
        stream.set_write_timeout(Some(settings.head_timeout))?;
        timeout(settings.head_timeout, || stream.handshake())?
    }

    /// Reads a head into `request`, which is new. Returns `None` if the client is done, or has not begun another request in time.
    pub(super) fn next_request(
        &mut self,
        settings: &Settings,
        entry: &ConnectionGuard,
        spares: &Spares,
        request: &mut Request<Body>,
    ) -> io::Result<Option<HeadersSeen>> {
        let is_first = self.request_number == 0;
        self.line.clear();
        self.is_accepted = false;
        self.stream.skip_empty_lines();
        if self.stream.buffered().is_empty() && !is_first {
            self.pipelined = 0;
            if !self.wait_for_request(settings, entry, spares)? {
                return Ok(None);
            }
        } else {
            self.take_turn()?;
        }
        entry.set_busy();
        *request.headers_mut() = spares.headers();
        let (limits, last_host) = (&settings.limits, &mut self.last_host);
        let mut parsed = head::parse_arrived(self.stream.buffered(), limits, request, last_host);
        if parsed == Ok(None) {
            let Some(length) = self.wait_for_head(settings, entry, spares)? else {
                return Ok(None);
            };
            let (bytes, last_host) = (&self.stream.buffered()[..length], &mut self.last_host);
            let seen = head::parse_request(bytes, limits, request, last_host);
            parsed = seen.map(|seen| Some((length, seen)));
        }
        let stream = &mut self.stream;
        stream.deadline = transfer_deadline(settings);
        if settings.keeps_line() {
            let line = stream.buffered().split(|&byte| byte == b'\r').next();
            self.line.extend_from_slice(line.unwrap_or_default());
        }
        let Some((length, seen)) = parsed? else {
            return Ok(None);
        };
        stream.consume(length);
        self.request_number += 1;
        self.accept(request, seen, settings)?;
        self.is_accepted = true;
        Ok(Some(seen))
    }

    /// Waits for the rest of a head. Returns `None` if nothing of it comes.
    fn wait_for_head(
        &mut self,
        settings: &Settings,
        entry: &ConnectionGuard,
        spares: &Spares,
    ) -> io::Result<Option<usize>> {
        let is_first = self.request_number == 0;
        let stream = &mut self.stream;
        spares.give_input(stream);
        let start = now();
        stream.deadline = IoDeadline::since(start, settings.head_timeout);
        if is_first && stream.buffered().is_empty() {
            entry.set_phase(Phase::New, start);
            match stream.fill() {
                Ok(0) => return Ok(None),
                Err(error) if is_timeout(&error) => return Ok(None),
                read => drop(read?),
            }
        }
        entry.set_phase(Phase::Head, start);
        let length = match stream.head(&settings.limits) {
            Err(error) if is_timeout(&error) && stream.buffered().is_empty() => return Ok(None),
            length => length?,
        };
        entry.set_busy();
        Ok(length)
    }

    /// Waits for the first byte of another request. Returns `false` if none comes.
    ///
    /// Meanwhile its buffers serve other connections, and later the stack is as small as it can be.
    fn wait_for_request(
        &mut self,
        settings: &Settings,
        entry: &ConnectionGuard,
        spares: &Spares,
    ) -> io::Result<bool> {
        let stream = &mut self.stream;
        stream.flush_transport()?;
        let start = now();
        entry.set_phase(Phase::Idle, start);
        let mut left = settings.idle_timeout;
        let mut is_quiet = false;
        while !left.is_zero() {
            spares.take_buffers_of(stream);
            let timeout = if is_quiet { left } else { left.min(QUIET) };
            match wait_and_fill(stream, timeout, spares) {
                Ok(0) => return Ok(false),
                Err(error) if is_timeout(&error) && timeout == left => return Ok(false),
                Err(error) if is_timeout(&error) => {
                    is_quiet = true;
                    release_stack();
                }
                read => {
                    read?;
                    stream.skip_empty_lines();
                    if !stream.buffered().is_empty() {
                        return Ok(true);
                    }
                }
            }
            let idle = now().saturating_duration_since(start);
            left = settings.idle_timeout.saturating_sub(idle);
        }
        Ok(false)
    }

    /// Lets other green threads run after a number of requests that needed no read.
    fn take_turn(&mut self) -> io::Result<()> {
        charge();
        self.pipelined += 1;
        if self.pipelined > MAX_PIPELINED {
            self.pipelined = 1;
            self.stream.flush()?;
            yield_now();
        }
        Ok(())
    }

    /// Prepares for the body of a request.
    fn accept(
        &mut self,
        request: &Request<Body>,
        seen: HeadersSeen,
        settings: &Settings,
    ) -> io::Result<()> {
        let framing = match seen.framing {
            true => body_framing(request.headers(), request.version())?,
            false => None,
        };
        if *request.method() == Method::CONNECT {
            if !settings.allow_connect {
                let message = "CONNECT is not served";
                return Err(ProtocolError::new(StatusCode::NOT_IMPLEMENTED, message).into());
            }
            if request.headers().contains_key(TRANSFER_ENCODING)
                || content_length(request.headers())?.is_some_and(|length| length > 0)
            {
                return Err(ProtocolError::malformed("CONNECT has a body").into());
            }
        }
        if let Some(framing) = framing {
            self.decoder = Decoder::new(framing, settings.limits.body)?;
        }
        self.expect_continue = seen.expect && expects_continue(request)? && !self.decoder.is_done();
        self.may_continue = self.expect_continue;
        Ok(())
    }

    /// Returns the number of bytes that are left of the body, if it was declared.
    pub(super) fn body_length(&self) -> Option<u64> {
        self.decoder.length()
    }

    pub(super) fn limit_body(&mut self, bytes: u64) {
        self.decoder.limit(bytes);
    }

    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.decoder.take_trailers()
    }

    pub(super) fn has_unread_body(&self) -> bool {
        !self.decoder.is_done()
    }

    /// Sends `100 Continue` with `headers`, if the client has asked for it and is still to send
    /// something.
    pub(super) fn send_continue(&mut self, headers: &HeaderMap) -> io::Result<()> {
        if !self.may_continue || self.decoder.is_done() || self.fault.is_some() {
            return Ok(());
        }
        self.expect_continue = false;
        let mut bytes = b"HTTP/1.1 100 Continue\r\n".to_vec();
        head::write_headers(&mut bytes, headers);
        bytes.extend_from_slice(b"\r\n");
        let sent = self.stream.write_all(&bytes);
        // That is not an error of the handler.
        sent.inspect_err(|_| self.fault = Some(Fault::Gone))
    }

    pub(super) fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let is_broken = matches!(self.decoder.state, DecoderState::Broken(_));
        if self.expect_continue && !is_broken {
            self.send_continue(&HeaderMap::new())?;
        }
        let result = self.decoder.read(&mut self.stream, buf);
        if let Err(error) = &result {
            let fault = match ProtocolError::of(error) {
                Some(error) => Fault::Answer(error),
                None if is_timeout(error) => Fault::Answer(ProtocolError::BODY_TIMED_OUT),
                None if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Fault::Answer(ProtocolError::BODY_CUT_OFF)
                }
                None => Fault::Gone,
            };
            if let Fault::Answer(error) = fault {
                self.decoder.state = DecoderState::Broken(error);
            }
            self.fault = Some(fault);
        }
        result
    }

    /// Whether what nothing has read of the body can be skipped, so that the next request can be
    /// read. It decides that before the head of the response is sent, which announces it.
    pub(super) fn can_skip_body(&mut self) -> bool {
        match self.decoder.length() {
            Some(left) => left <= MAX_DRAIN_BYTES as u64,
            // The length of a body in chunks is known only when all of it has arrived.
            None => {
                let decoder = &mut self.decoder;
                self.stream
                    .without_reading(|stream| skip_rest(decoder, stream))
            }
        }
    }

    /// Skips what is left of the body. Returns `true` if that was all of it.
    pub(super) fn skip_body(&mut self) -> bool {
        self.decoder.is_done() || skip_rest(&mut self.decoder, &mut self.stream)
    }

    /// Gives a response the full time, although the time of its request may be up.
    pub(super) fn restart_deadlines(&mut self, settings: &Settings) {
        self.stream.deadline = transfer_deadline(settings);
    }

    /// Sends a part of a response, after which there is more.
    pub(super) fn send_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.expect_continue = false;
        self.may_continue = false;
        self.is_cut_off = true;
        self.stream.write_all(bytes)
    }

    /// Sends the last part of a response. If the next request has arrived already, its answer
    /// leaves together with this one.
    pub(super) fn send_last(&mut self, bytes: &[u8], keep_alive: bool) -> io::Result<()> {
        self.expect_continue = false;
        self.may_continue = false;
        let has_next = keep_alive && self.decoder.is_done() && !self.stream.buffered().is_empty();
        if has_next && self.stream.queued() + bytes.len() <= MAX_QUEUED_BYTES {
            self.stream.queue(bytes);
        } else {
            self.is_cut_off = true;
            self.stream.write_all(bytes)?;
        }
        self.is_cut_off = false;
        Ok(())
    }

    /// Sends the end of the stream, and discards further input for a while. Closing with unread
    /// input would reset the connection, and the client might miss the response.
    #[cold]
    #[inline(never)]
    pub(super) fn linger(&mut self, entry: &ConnectionGuard) -> io::Result<()> {
        let mut has_more = !self.is_accepted || !self.decoder.is_done();
        let phase = if has_more {
            Phase::Lingering
        } else {
            Phase::Idle
        };
        entry.set_phase(phase, now());
        self.stream.flush()?;
        self.is_write_closed = true;
        self.stream.stream.close_write()?;
        let pace = Pace::new(LINGER);
        self.stream.deadline = IoDeadline::Paced {
            reading: pace,
            writing: pace,
        };
        let mut scratch = [0; 4096];
        while self.stream.read(&mut scratch)? > 0 {
            if !has_more {
                has_more = true;
                entry.set_phase(Phase::Lingering, now());
            }
        }
        Ok(())
    }

    /// Ends the connection. If a response was cut off, the client sees an error instead of the end
    /// of the stream.
    pub(super) fn end(mut self) {
        let is_cut_off = self.is_cut_off || self.stream.has_unsent();
        let stream = &mut self.stream.stream;
        if is_cut_off {
            stream.reset();
        } else if !self.is_write_closed && stream.set_write_timeout(Some(END_TIMEOUT)).is_ok() {
            // If the client is gone, there is nothing to end.
            stream.close_write().ok();
        }
    }
}

/// Reads into the buffer of the stream once. While nothing has arrived, it needs none, if the
/// transport can wait without one.
fn wait_and_fill<S: Stream>(
    stream: &mut BufferedStream<S>,
    timeout: Duration,
    spares: &Spares,
) -> io::Result<usize> {
    stream.stream.set_read_timeout(Some(timeout))?;
    stream.wait_within_timeout()?;
    spares.give_input(stream);
    stream.fill_within_timeout()
}

fn transfer_deadline(settings: &Settings) -> IoDeadline {
    IoDeadline::Paced {
        reading: Pace::new(settings.receiving()),
        writing: Pace::new(settings.sending()),
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// Out of line, because otherwise the buffer would lie between this green thread's frames, and each
/// request would touch one more page.
#[cold]
#[inline(never)]
fn skip_rest<S: Stream>(decoder: &mut Decoder, stream: &mut BufferedStream<S>) -> bool {
    let mut scratch = [0; 4096];
    let mut left = MAX_DRAIN_BYTES;
    while !decoder.is_done() {
        match decoder.read(stream, &mut scratch) {
            Ok(read) if read <= left => left -= read,
            _ => return false,
        }
    }
    true
}

fn expects_continue(request: &Request<Body>) -> Result<bool, ProtocolError> {
    let values = request.headers().get_all(EXPECT).iter();
    let members = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    let mut is_expected = false;
    for member in members.map(head::trim_whitespace) {
        if member.eq_ignore_ascii_case(b"100-continue") {
            is_expected = request.version() == Version::HTTP_11;
        } else if !member.is_empty() {
            return Err(ProtocolError::new(
                StatusCode::EXPECTATION_FAILED,
                "the only expectation supported is `100-continue`",
            ));
        }
    }
    Ok(is_expected)
}
