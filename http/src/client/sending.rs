//! `Sending`: the green thread that sends the body of a request, while the response is read.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use evy_net::Stream;
use evy_runtime::lowlevel::resume_unwind;
use evy_runtime::thread::{self, Builder, JoinHandle};

use super::connection::Connection;
use super::deadline::Deadline;
use super::response_head::ExchangeError;
use crate::body::{Body, BodyFraming};
use crate::buffered::BufferedStream;

/// A body that is being sent. That ends when this value is dropped.
pub(super) struct Sending {
    sender: JoinHandle<Result<(), SendError>>,
    body: BodySlot,
    /// Whether nothing of the program is called to read the body.
    is_in_memory: bool,
}

/// The failure to send a body.
#[derive(Debug)]
pub(super) struct SendError {
    pub(super) error: io::Error,
    /// Whether the body could not be read, rather than written to the connection.
    pub(super) is_from_body: bool,
}

impl From<SendError> for ExchangeError {
    fn from(failed: SendError) -> Self {
        Self {
            error: failed.error,
            // The error of a body may look like one of the connection.
            has_response_bytes: failed.is_from_body,
        }
    }
}

/// Where the body is put back after it was sent, so that it may be sent again.
type BodySlot = Rc<Cell<Option<Body>>>;

impl Sending {
    /// Begins to send `out`, which holds the head, and `body`, on a green thread from `builder`.
    ///
    /// # Errors
    ///
    /// Returns an error if no stack can be allocated.
    pub(super) fn start(
        builder: Builder,
        connection: Connection,
        deadline: Deadline,
        out: Vec<u8>,
        body: Body,
        framing: BodyFraming,
    ) -> io::Result<Self> {
        let is_in_memory = body.is_in_memory();
        let slot = Rc::new(Cell::new(Some(body)));
        let job = Job {
            stream: BufferedStream::new(connection, deadline.io()),
            out,
            framing,
            body: Rc::clone(&slot),
        };
        Ok(Self {
            sender: builder.spawn(move || job.run())?,
            body: slot,
            is_in_memory,
        })
    }

    pub(super) fn handle(&self) -> &JoinHandle<Result<(), SendError>> {
        &self.sender
    }

    /// Returns the body, which has been sent.
    pub(super) fn into_body(self) -> Body {
        self.body.take().unwrap_or_default()
    }

    /// Stops sending. Returns whether everything was sent before that, and the body. If the body has
    /// panicked, the panic continues here.
    pub(super) fn end(self) -> (Result<(), SendError>, Body) {
        self.sender.kill();
        // The wait of a body for something else cannot be ended without unwinding.
        if cfg!(panic = "abort") && !self.is_in_memory && !self.sender.is_finished() {
            let failed = SendError {
                error: io::ErrorKind::ConnectionAborted.into(),
                is_from_body: false,
            };
            return (Err(failed), Body::empty());
        }
        let sent = joined(self.sender.take_result()).unwrap_or_else(|error| {
            Err(SendError {
                error,
                is_from_body: false,
            })
        });
        (sent, self.into_body())
    }
}

/// Returns the result of a green thread that belongs to an exchange. Its panic continues here.
pub(super) fn joined<T>(result: thread::Result<T>) -> io::Result<T> {
    result.map_err(|error| match error.is_panic() {
        true => resume_unwind(error.into_panic()),
        false => io::Error::other(error),
    })
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.sender.kill();
    }
}

/// What the green thread needs.
struct Job {
    stream: BufferedStream<Connection>,
    out: Vec<u8>,
    framing: BodyFraming,
    body: BodySlot,
}

impl Job {
    fn run(self) -> Result<(), SendError> {
        let Self {
            mut stream,
            mut out,
            framing,
            body: slot,
        } = self;
        let mut lent = LentBody {
            body: slot.take().unwrap_or_default(),
            slot,
        };
        let mut is_from_body = true;
        let sent = lent.body.send(&mut out, framing, |bytes| {
            let written = stream.write_all(bytes);
            written.inspect_err(|_| is_from_body = false)
        });
        sent.map_err(|error| {
            if is_from_body {
                // The server must not take what it has got for the whole request.
                stream.stream.reset();
            }
            SendError {
                error,
                is_from_body,
            }
        })
    }
}

/// A body that is put back, also if sending it is interrupted.
struct LentBody {
    body: Body,
    slot: BodySlot,
}

impl Drop for LentBody {
    fn drop(&mut self) {
        self.slot.set(Some(std::mem::take(&mut self.body)));
    }
}
