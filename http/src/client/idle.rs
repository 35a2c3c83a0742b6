//! `IdleConnections`: the connections of a client that wait for another request.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use evy_net::TcpStream;
use evy_runtime::lowlevel::now;
use http::Uri;
use http::uri::Scheme;

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
    peer: HostPort,
    stream: Box<BufferedStream<TcpStream>>,
    since: Instant,
}

/// A host, without the brackets of an IPv6 address, and a port.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) host: String,
    pub(super) port: u16,
}

impl IdleConnections {
    /// Removes and returns the most recently used connection to `peer`. Drops all connections that
    /// have been idle for too long.
    pub(super) fn take(&self, peer: &HostPort) -> Option<Box<BufferedStream<TcpStream>>> {
        let mut idle = self.0.borrow_mut();
        idle.retain(|kept| now().saturating_duration_since(kept.since) < IDLE_TIMEOUT);
        let at = idle.iter().rposition(|kept| kept.peer == *peer)?;
        Some(idle.remove(at).stream)
    }

    /// Keeps a connection, unless `max` connections to its peer are kept already. If there are too
    /// many over all hosts, the least recently used one is dropped.
    pub(super) fn put(&self, peer: HostPort, stream: Box<BufferedStream<TcpStream>>, max: usize) {
        let mut idle = self.0.borrow_mut();
        if idle.iter().filter(|kept| kept.peer == peer).count() < max {
            if idle.len() == MAX_IDLE {
                idle.remove(0);
            }
            let since = now();
            idle.push(IdleConnection {
                peer,
                stream,
                since,
            });
        }
    }
}

impl HostPort {
    /// Returns the host and the port that a request to `uri` is sent to.
    pub(super) fn of(uri: &Uri) -> io::Result<Self> {
        let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        match uri.scheme() {
            None => return invalid("the URL should start with 'http://'"),
            Some(scheme) if *scheme != Scheme::HTTP => {
                let message = format!("only 'http://' is supported, not '{scheme}://'");
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
            Some(_) => {}
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return invalid("a user name in a URL is not sent: use the header `Authorization`");
        }
        match uri.host() {
            None | Some("") => invalid("the URL has no host"),
            Some(host) => {
                let port = uri.authority().map_or("", |authority| {
                    authority.as_str().strip_prefix(host).unwrap_or_default()
                });
                let Some(port) = parse_port(port) else {
                    return invalid("the port of the URL is not a number below 65536");
                };
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Ok(Self {
                    host: host.to_ascii_lowercase(),
                    port,
                })
            }
        }
    }
}

/// Parses what follows the host: nothing, or a colon and the port. The default is 80, also for an
/// empty port. Returns `None` if the port is malformed or too large.
fn parse_port(text: &str) -> Option<u16> {
    match text.strip_prefix(':').unwrap_or(text) {
        "" => Some(80),
        // `parse` accepts a sign.
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

/// Whether an idle connection can be used for another request: the server has neither closed it nor
/// sent anything.
pub(super) fn is_reusable(stream: &BufferedStream<TcpStream>) -> bool {
    let stream = &stream.stream;
    let peeked = stream
        .set_read_timeout(Some(Duration::from_micros(1)))
        .and_then(|()| stream.peek(&mut [0]));
    let is_waiting = |kind| matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    peeked.is_err_and(|error| is_waiting(error.kind()))
}
