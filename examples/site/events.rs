//! Server-sent events: each new message is sent at once to all clients that have the page open.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Duration;

use evy::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use evy::http::{Body, Request, Response, StatusCode, StatusError};
use evy::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use matchit::Params;

use super::{Answer, Site};

/// How often something is sent, so that a client that is gone is noticed.
const PULSE: Duration = Duration::from_secs(15);

/// The number of messages by which a client may lag behind.
const MAX_LAG: usize = 100;

/// The streams of events that are open; `None` once the site stops.
pub(crate) struct Events(RefCell<Option<Vec<SyncSender<String>>>>);

impl Default for Events {
    fn default() -> Self {
        Self(RefCell::new(Some(Vec::new())))
    }
}

impl Events {
    /// Sends `text` to all streams, and ends those that are gone or lag behind. It never parks.
    pub(crate) fn send(&self, text: &str) {
        if let Some(streams) = &mut *self.0.borrow_mut() {
            streams.retain(|stream| stream.try_send(text.to_owned()).is_ok());
        }
    }

    /// Ends all streams.
    pub(crate) fn close(&self) {
        self.0.take();
    }

    fn open(&self) -> Option<Receiver<String>> {
        let (sender, receiver) = sync_channel(MAX_LAG);
        self.0.borrow_mut().as_mut()?.push(sender);
        Some(receiver)
    }
}

/// Streams all messages that are posted from now on.
pub(crate) fn stream(site: &Site, _: Request<Body>, _: &Params<'_, '_>) -> Answer {
    let Some(messages) = site.events.open() else {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(StatusError::new(status, "the site stops\n").into());
    };
    let response = Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .header(CACHE_CONTROL, "no-store")
        .body(Body::from_writer(move |client| send(&messages, client)))?;
    Ok(response)
}

fn send(messages: &Receiver<String>, client: &mut dyn Write) -> io::Result<()> {
    loop {
        // This sends the head, too.
        client.flush()?;
        match messages.recv_timeout(PULSE) {
            Ok(text) => {
                for line in text.lines() {
                    writeln!(client, "data: {line}")?;
                }
                writeln!(client)?;
            }
            Err(RecvTimeoutError::Timeout) => client.write_all(b":\n\n")?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
