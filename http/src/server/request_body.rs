//! `RequestBody`: the body of a request, read from its connection.

use std::io::{self, Read};

use evy_net::Stream;
use http::HeaderMap;

use super::connection::Connection;
use super::shared::SharedConnection;
use crate::body::{Body, Source};

/// The body of a request, read from its connection.
struct RequestBody<S: Stream> {
    connection: SharedConnection<S>,
    request_number: u64,
}

/// Returns the body of the request of which the head was read last.
pub(super) fn request_body<S: Stream>(
    shared: &SharedConnection<S>,
    connection: &Connection<S>,
) -> Body {
    if !connection.has_unread_body() {
        return Body::empty();
    }
    let source = RequestBody {
        connection: shared.clone(),
        request_number: connection.request_number,
    };
    shared.set_body_of(source.request_number, true);
    Body::from_source(source, connection.body_length())
}

impl<S: Stream> RequestBody<S> {
    fn with<R>(&self, f: impl FnOnce(&mut Connection<S>) -> io::Result<R>) -> io::Result<R> {
        self.connection.with(|connection| {
            if connection.request_number != self.request_number {
                let message =
                    "the request has already been answered, so its body can no longer be read";
                return Err(io::Error::new(io::ErrorKind::NotConnected, message));
            }
            f(connection)
        })
    }
}

impl<S: Stream> Read for RequestBody<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.with(|connection| connection.read_body(buf))
    }
}

impl<S: Stream> Source for RequestBody<S> {
    fn limit(&mut self, bytes: u64) -> bool {
        let limited = self.with(|connection| {
            connection.limit_body(bytes);
            Ok(())
        });
        limited.is_ok()
    }

    fn send_continue(&mut self, headers: &HeaderMap) -> io::Result<()> {
        self.with(|connection| connection.send_continue(headers))
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        let trailers = self.with(|connection| Ok(connection.take_trailers()));
        trailers.ok().flatten()
    }
}

impl<S: Stream> Drop for RequestBody<S> {
    fn drop(&mut self) {
        self.connection.set_body_of(self.request_number, false);
    }
}
