//! `IdleConnections`: the connections of a client that wait for another request.

use std::cell::RefCell;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use evy_net::Stream;
use evy_runtime::lowlevel::now;

use super::connection::Connection;
use super::destination::Destination;
use crate::buffered::BufferedStream;

/// The maximum number of idle connections, over all hosts.
const MAX_IDLE: usize = 128;

/// The lifetime of an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The idle connections, with the most recently used one at the end.
#[derive(Default)]
pub(super) struct IdleConnections(RefCell<Vec<IdleConnection>>);

/// A connection that waits for another request to its peer.
struct IdleConnection {
    destination: Destination,
    stream: Box<BufferedStream<Connection>>,
    since: Instant,
}

impl IdleConnections {
    /// Removes and returns the most recently used connection to `destination`. Drops all connections that
    /// have been idle for too long.
    pub(super) fn take(
        &self,
        destination: &Destination,
    ) -> Option<Box<BufferedStream<Connection>>> {
        let mut idle = self.0.borrow_mut();
        idle.retain(|kept| now().saturating_duration_since(kept.since) < IDLE_TIMEOUT);
        let at = idle
            .iter()
            .rposition(|kept| kept.destination == *destination)?;
        Some(idle.remove(at).stream)
    }

    /// Keeps a connection, unless `max` connections to its peer are kept already. If there are too
    /// many over all hosts, the least recently used one is dropped.
    pub(super) fn put(
        &self,
        destination: Destination,
        stream: Box<BufferedStream<Connection>>,
        max: usize,
    ) {
        let mut idle = self.0.borrow_mut();
        if idle
            .iter()
            .filter(|kept| kept.destination == destination)
            .count()
            < max
        {
            if idle.len() == MAX_IDLE {
                idle.remove(0);
            }
            let since = now();
            idle.push(IdleConnection {
                destination,
                stream,
                since,
            });
        }
    }
}

/// Whether an idle connection can be used for another request: the server has neither closed it nor
/// sent anything.
pub(super) fn is_reusable(stream: &mut BufferedStream<Connection>) -> bool {
    let stream = &mut stream.stream;
    let read = stream
        .set_read_timeout(Some(Duration::from_micros(1)))
        .and_then(|()| stream.read(&mut [0]));
    let is_waiting = |kind| matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    read.is_err_and(|error| is_waiting(error.kind()))
}
