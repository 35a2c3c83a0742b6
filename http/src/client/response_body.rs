//! `ResponseBody`: the body of a response, which returns its connection when it has been read.

use std::io::{self, Read};
use std::rc::Weak;

use http::HeaderMap;

use super::Shared;
use super::destination::Destination;
use super::exchange::ClientStream;
use super::sending::Sending;
use crate::body::Source;
use crate::decoder::Decoder;

/// The body of a response. When it has been read to its end, it returns the connection to the
/// client.
pub(super) struct ResponseBody {
    pub(super) stream: Option<ClientStream>,
    pub(super) decoder: Decoder,
    /// What is still being sent of the request.
    pub(super) sending: Option<Sending>,
    /// Where the connection is kept, if it can be used again.
    pub(super) return_to: Option<(Weak<Shared>, Destination)>,
}

impl ResponseBody {
    /// Returns the connection, if the request and the response are complete.
    pub(super) fn return_connection(&mut self) {
        let is_sent = self
            .sending
            .take()
            .is_none_or(|sending| sending.end().0.is_ok());
        let (Some(stream), Some((shared, peer))) = (self.stream.take(), self.return_to.take())
        else {
            return;
        };
        // Unsolicited bytes would be parsed as the next response, so such a connection is not
        // reused.
        if let (Some(shared), true) = (shared.upgrade(), is_sent && stream.buffered().is_empty()) {
            shared.keep(peer, stream);
        }
    }

    /// Returns the error with which the body of the request has failed, if it has. The server could
    /// not complete its response because of that.
    fn request_error(&mut self) -> Option<io::Error> {
        let sending = self
            .sending
            .take_if(|sending| sending.handle().is_finished())?;
        let (sent, _) = sending.end();
        sent.err()
            .filter(|failed| failed.is_from_body)
            .map(|failed| failed.error)
    }
}

impl Read for ResponseBody {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else {
            return Ok(0);
        };
        match self.decoder.read(stream, buf) {
            Ok(read) => {
                if self.decoder.is_done() {
                    self.return_connection();
                }
                Ok(read)
            }
            Err(error) => Err(self.request_error().unwrap_or(error)),
        }
    }
}

impl Source for ResponseBody {
    fn limit(&mut self, bytes: u64) -> bool {
        self.decoder.limit(bytes);
        true
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.decoder.take_trailers()
    }
}
