//! `Listener`: what a server accepts connections from.

use std::fmt::Debug;
use std::io;

use crate::stream::Stream;

/// A source of connections. [`TcpListener`](crate::TcpListener) implements it.
pub trait Listener {
    /// The connections it accepts.
    type Stream: Stream;

    /// The address of a peer, and of the listener itself.
    type Addr: Clone + Debug + 'static;

    /// Accepts the next connection.
    ///
    /// Parks until there is one.
    ///
    /// # Errors
    ///
    /// Returns the error of the transport. A [`Server`](crate::Server) survives the errors of
    /// single connections, and pauses while descriptors or memory are short. An error that is not
    /// one of the system is recognized by its kind.
    fn accept(&self) -> io::Result<(Self::Stream, Self::Addr)>;

    /// Returns the address of the listener.
    ///
    /// # Errors
    ///
    /// Returns the error of the transport.
    fn local_addr(&self) -> io::Result<Self::Addr>;
}
