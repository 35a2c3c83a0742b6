//! One exchange over a connection: a request is sent, and the head of its response is read.

use std::io;
use std::mem;
use std::time::Duration;

use evy_net::Duplex;
use evy_runtime::select;
use evy_runtime::thread::{Builder, JoinHandle};
use http::{Request, Response, StatusCode};

use super::connection::Connection;
use super::deadline::Deadline;
use super::request_head::{self, HeadSettings, asks_for_upgrade, expects_continue};
use super::response_head::{self, ExchangeError, Wanted, is_connection_closed};
use super::sending::{SendError, Sending, joined};
use super::settings::{ExchangeSettings, Settings};
use crate::body::{Body, BodyFraming};
use crate::buffered::BufferedStream;
use crate::limits::Limits;

/// The maximum size of an in-memory body that is sent before the response is read. The buffers of
/// the system have room for it, so that sending does not wait for a server that reads nothing.
const MAX_SENT_FIRST: u64 = 16 * 1024;

/// A connection with its buffer.
pub(super) type ClientStream = Box<BufferedStream<Connection>>;

/// The outcome of an exchange, before the body of the response.
pub(super) struct Answer {
    pub(super) response: Response<()>,
    pub(super) stream: ClientStream,
    /// What is still being sent of the request, if anything.
    pub(super) sending: Option<Sending>,
    /// Whether the server has got the whole request, or will get it.
    pub(super) is_request_whole: bool,
}

impl Answer {
    fn new(response: Response<()>, stream: ClientStream, is_request_whole: bool) -> Self {
        Self {
            response,
            stream,
            sending: None,
            is_request_whole,
        }
    }
}

/// An exchange that is to be performed.
pub(super) struct Exchange<'a> {
    settings: &'a Settings,
    /// For the exchange and the body of the response.
    deadline: Deadline,
    timeouts: &'a ExchangeSettings,
}

impl<'a> Exchange<'a> {
    pub(super) const fn new(
        settings: &'a Settings,
        timeouts: &'a ExchangeSettings,
        deadline: Deadline,
    ) -> Self {
        Self {
            settings,
            timeouts,
            deadline,
        }
    }

    /// Sends the request, and reads the head of the response, also while the request is sent.
    ///
    /// The body is taken out of the request while it is sent, and put back afterwards.
    pub(super) fn run(
        &self,
        mut stream: ClientStream,
        request: &mut Request<Body>,
        framing: BodyFraming,
    ) -> Result<Answer, ExchangeError> {
        let mut out = Vec::with_capacity(512);
        let head = HeadSettings {
            user_agent: self.settings.user_agent.as_ref(),
            keeps_connection: self.settings.max_idle_per_host > 0,
        };
        request_head::write(&mut out, request, framing, head);
        let wanted = Wanted {
            continuation: false,
            upgrade: asks_for_upgrade(request),
        };
        stream.deadline = self.deadline.io();
        let mut was_asked_for_body = false;
        if framing != BodyFraming::Nothing && expects_continue(request.headers()) {
            stream.write_all(&out)?;
            out.clear();
            match self.await_continue(&mut stream, wanted)? {
                Some(response) if response.status() == StatusCode::CONTINUE => {
                    was_asked_for_body = true;
                }
                Some(response) => return Ok(Answer::new(response, stream, false)),
                None => {}
            }
        }
        let body = request.body();
        let is_short = body.length().is_some_and(|length| length <= MAX_SENT_FIRST);
        let answer = if framing == BodyFraming::Nothing || (body.is_in_memory() && is_short) {
            self.send_first(stream, out, framing, request, wanted)
        } else {
            self.send_meanwhile(stream, out, framing, request, wanted)
        };
        answer.map_err(|failed| ExchangeError {
            has_response_bytes: failed.has_response_bytes || was_asked_for_body,
            ..failed
        })
    }

    /// Waits until the server asks for the body, or responds otherwise. Returns its response, or
    /// `None` if it is silent for too long.
    fn await_continue(
        &self,
        stream: &mut ClientStream,
        wanted: Wanted,
    ) -> Result<Option<Response<()>>, ExchangeError> {
        let wanted = Wanted {
            continuation: true,
            ..wanted
        };
        stream.deadline = self.deadline.or_after(self.timeouts.continue_timeout).io();
        let read = response_head::read(stream, &self.settings.limits, wanted);
        stream.deadline = self.deadline.io();
        match read {
            Ok(response) => Ok(Some(response)),
            // Some servers do not know the expectation.
            Err(failed) if failed.error.kind() == io::ErrorKind::TimedOut => {
                self.deadline.remaining()?;
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Sends a short request, and then reads.
    fn send_first(
        &self,
        mut stream: ClientStream,
        mut out: Vec<u8>,
        framing: BodyFraming,
        request: &mut Request<Body>,
        wanted: Wanted,
    ) -> Result<Answer, ExchangeError> {
        let body = request.body_mut();
        let sent = body.send(&mut out, framing, |bytes| stream.write_all(bytes));
        let failure = match sent {
            Ok(()) => None,
            // A server that needs no more of the request may respond and close the connection, so
            // there may be a response nevertheless.
            Err(error) if is_connection_closed(&error) => Some(error),
            Err(error) => return Err(error.into()),
        };
        stream.deadline = self
            .deadline
            .or_after(self.timeouts.first_byte_timeout)
            .io();
        let read = response_head::read(&mut stream, &self.settings.limits, wanted);
        stream.deadline = self.deadline.io();
        let read = read.map_err(|failed| match failed.error.kind() {
            io::ErrorKind::TimedOut => ExchangeError {
                error: too_late(),
                ..failed
            },
            _ => failed,
        });
        match (read, failure) {
            (Ok(response), failure) => Ok(Answer::new(response, stream, failure.is_none())),
            (Err(read), None) => Err(read),
            (Err(read), Some(error)) => Err(ExchangeError { error, ..read }),
        }
    }

    /// Sends a request while its response is read.
    fn send_meanwhile(
        &self,
        stream: ClientStream,
        out: Vec<u8>,
        framing: BodyFraming,
        request: &mut Request<Body>,
        wanted: Wanted,
    ) -> Result<Answer, ExchangeError> {
        let writer = stream.stream.try_clone()?;
        let body = mem::take(request.body_mut());
        let sender = self.settings.thread("body of a request");
        let sending = Sending::start(sender, writer, self.deadline, out, body, framing)?;
        let reader = self.settings.thread("head of a response");
        let reading = Reading::start(reader, stream, self.settings.limits, wanted)?;
        let first = select! {
            biased;
            join(&reading.0) -> read => First::Read(joined(read)),
            join(sending.handle()) -> sent => First::Sent(joined(sent)),
        };
        match first {
            First::Read(read) => {
                let (stream, response) = read?;
                answer_early(stream, response, sending, request)
            }
            First::Sent(sent) => {
                *request.body_mut() = sending.into_body();
                self.await_answer(reading, sent?)
            }
        }
    }

    /// Waits for the response to a request that was sent, or could not be.
    fn await_answer(
        &self,
        reading: Reading,
        sent: Result<(), SendError>,
    ) -> Result<Answer, ExchangeError> {
        match sent {
            Err(failed) if failed.is_from_body || !is_connection_closed(&failed.error) => {
                Err(failed.into())
            }
            // As in `send_first`, there may be a response nevertheless.
            Err(failed) => match reading.finish(Duration::MAX)? {
                (stream, Ok(response)) => Ok(Answer::new(response, stream, false)),
                (_, Err(read)) => Err(ExchangeError {
                    error: failed.error,
                    ..read
                }),
            },
            Ok(()) => {
                let (stream, response) = reading.finish(self.timeouts.first_byte_timeout)?;
                Ok(Answer::new(response?, stream, true))
            }
        }
    }
}

/// What happens first while a request is sent and its response is read.
enum First {
    Read(io::Result<Read>),
    Sent(io::Result<Result<(), SendError>>),
}

/// Returns the answer to a request that has not been sent completely.
///
/// After a success the rest is sent while the program reads the body of the response. Any other
/// server needs no more of the request.
fn answer_early(
    stream: ClientStream,
    response: Result<Response<()>, ExchangeError>,
    sending: Sending,
    request: &mut Request<Body>,
) -> Result<Answer, ExchangeError> {
    if response
        .as_ref()
        .is_ok_and(|head| head.status().is_success())
    {
        let mut answer = Answer::new(response?, stream, true);
        answer.sending = Some(sending);
        return Ok(answer);
    }
    let (sent, body) = sending.end();
    *request.body_mut() = body;
    match (response, sent) {
        (Ok(response), sent) => Ok(Answer::new(response, stream, sent.is_ok())),
        (Err(_), Err(failed)) if failed.is_from_body => Err(failed.into()),
        (Err(failed), _) => Err(failed),
    }
}

/// The stream, and the head of the response that was read from it.
type Read = (ClientStream, Result<Response<()>, ExchangeError>);

/// The green thread that reads the head of a response. It is killed when this value is dropped.
struct Reading(JoinHandle<Read>);

impl Reading {
    fn start(
        builder: Builder,
        mut stream: ClientStream,
        limits: Limits,
        wanted: Wanted,
    ) -> io::Result<Self> {
        let reader = builder.spawn(move || {
            let response = response_head::read(&mut stream, &limits, wanted);
            (stream, response)
        })?;
        Ok(Self(reader))
    }

    /// Waits until the head was read, for at most `limit`.
    fn finish(self, limit: Duration) -> io::Result<Read> {
        select! {
            biased;
            join(&self.0) -> read => joined(read),
            after(limit) => Err(too_late()),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.kill();
    }
}

fn too_late() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the server took too long to respond",
    )
}
