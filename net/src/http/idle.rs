//! Idle connections: those of a client that wait for another request.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use ::http::Uri;
use ::http::uri::Scheme;

use super::wire::Wire;
use crate::tcp::TcpStream;
use evy_runtime::lowlevel::now;

/// How many connections are kept, over all hosts, and for how long.
const IDLE: (usize, Duration) = (128, Duration::from_secs(60));

/// The connections, the one used last at the end.
#[derive(Default)]
pub(super) struct Pool(RefCell<Vec<Idle>>);

/// A connection that waits for another request to its peer.
struct Idle {
    peer: Peer,
    wire: Box<Wire<TcpStream>>,
    since: Instant,
}

/// Host, without the brackets of IPv6, and port.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Peer(pub(super) String, pub(super) u16);

impl Pool {
    /// The connection to `peer` that was used last.
    pub(super) fn take(&self, peer: &Peer) -> Option<Box<Wire<TcpStream>>> {
        let mut idle = self.0.borrow_mut();
        idle.retain(|kept| now().saturating_duration_since(kept.since) < IDLE.1);
        let at = idle.iter().rposition(|kept| kept.peer == *peer)?;
        Some(idle.remove(at).wire)
    }

    /// Keeps a connection, unless there are `most` to its peer already.
    pub(super) fn put(&self, peer: Peer, wire: Box<Wire<TcpStream>>, most: usize) {
        let mut idle = self.0.borrow_mut();
        if idle.iter().filter(|kept| kept.peer == peer).count() < most {
            if idle.len() == IDLE.0 {
                idle.remove(0);
            }
            let since = now();
            idle.push(Idle { peer, wire, since });
        }
    }
}

impl Peer {
    /// Where a request to `uri` goes.
    pub(super) fn of(uri: &Uri) -> io::Result<Self> {
        let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        match uri.scheme() {
            None => return invalid("the URL should start with 'http://'"),
            Some(scheme) if *scheme != Scheme::HTTP => {
                let message = format!("only 'http://' is spoken here, not '{scheme}://'");
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
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Ok(Self(
                    host.to_ascii_lowercase(),
                    uri.port_u16().unwrap_or(80),
                ))
            }
        }
    }
}

/// Whether a connection that was idle has neither ended nor said anything.
pub(super) fn is_quiet(wire: &Wire<TcpStream>) -> bool {
    let stream = &wire.stream;
    let peeked = stream
        .set_read_timeout(Some(Duration::from_micros(1)))
        .and_then(|()| stream.peek(&mut [0]));
    let is_waiting = |kind| matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    peeked.is_err_and(|error| is_waiting(error.kind()))
}
