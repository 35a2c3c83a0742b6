//! `Connector`: how a client gets its connections.

use std::error::Error;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use evy_net::{Duplex, connect_timeout};
use evy_runtime::timeout;

use super::connection::Connection;
use super::destination::Destination;

/// Opens the connections of a [`Client`](crate::Client).
///
/// A closure that takes a [`Destination`] and returns a stream is a connector. For a URL with
/// `https`, the client adds TLS to the stream itself.
///
/// # Examples
///
/// Requests over a Unix socket, whatever the host of the URL:
///
/// ```no_run
/// use evy::http::{Client, Destination};
/// use evy::os::unix::net::UnixStream;
///
/// let client = Client::builder()
///     .connector(|_: &Destination| UnixStream::connect("/run/docker.sock"))
///     .build();
/// let version = client.get("http://docker/version")?.into_body().into_text()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Connector: 'static {
    /// The type of its connections. The client may read from one while it writes to it.
    type Stream: Duplex;

    /// Opens a connection to `destination`.
    ///
    /// The client limits the time of this call by [`timeout`](evy_runtime::timeout).
    ///
    /// # Errors
    ///
    /// Returns the error of the transport, with which the request fails.
    fn connect(&self, destination: &Destination) -> io::Result<Self::Stream>;
}

impl<F, D> Connector for F
where
    F: Fn(&Destination) -> io::Result<D> + 'static,
    D: Duplex,
{
    type Stream = D;

    fn connect(&self, destination: &Destination) -> io::Result<D> {
        self(destination)
    }
}

/// A connector of any type, which has to be done within the given time.
pub(super) type AnyConnector = Rc<dyn Fn(&Destination, Duration) -> io::Result<Connection>>;

/// Returns the connector that is used unless another one is set.
pub(super) fn tcp() -> AnyConnector {
    Rc::new(|destination, limit| {
        let (host, port) = (destination.host(), destination.port());
        let stream = connect_timeout((host, port), limit)
            .map_err(|error| ConnectError::within(destination, error))?;
        stream.set_nodelay(true)?;
        Ok(Connection::new(stream))
    })
}

pub(super) fn any(connector: impl Connector) -> AnyConnector {
    Rc::new(move |destination, limit| {
        within(limit, || connector.connect(destination)).map(Connection::new)
    })
}

/// An error of connecting, which does not name the server itself.
#[derive(Debug)]
struct ConnectError {
    destination: Destination,
    source: io::Error,
}

impl ConnectError {
    fn within(destination: &Destination, source: io::Error) -> io::Error {
        let destination = destination.clone();
        io::Error::new(
            source.kind(),
            Self {
                destination,
                source,
            },
        )
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.destination.host(), self.destination.port());
        write!(f, "cannot connect to {host}:{port}: {}", self.source)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Runs `connect`, for at most `limit`.
pub(super) fn within<T>(limit: Duration, connect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    timeout(limit, connect).unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the connection was not established in time",
        ))
    })
}
