//! `Listener`: accepts TLS streams from any listener.

use std::io;

use crate::acceptor::Acceptor;
use crate::stream::Stream;

/// A listener whose streams are TLS streams over those of `L`.
///
/// Accepting does not perform the handshake, so that a client that is slow, malicious or speaks
/// plain HTTP keeps no other from being accepted. [`serve`](evy_net::serve) performs it on the
/// connection's own green thread, and reports its failure. In other accept loops, the first read or
/// write does.
///
/// # Examples
///
/// ```no_run
/// use evy::tls::{Acceptor, Listener};
/// use std::io::Write;
///
/// let acceptor = Acceptor::from_pem(std::fs::read("chain.pem")?, std::fs::read("key.pem")?)?;
/// let server = Listener::new(evy::listen("0.0.0.0:4433")?, acceptor);
/// evy::serve(server, |mut stream, _addr| stream.write_all(b"hello over TLS\n"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener<L> {
    listener: L,
    acceptor: Acceptor,
}

impl<L: evy_net::Listener> Listener<L> {
    /// Creates a listener from one of the transport, and the settings of the server.
    pub fn new(listener: L, acceptor: Acceptor) -> Self {
        Self { listener, acceptor }
    }

    /// Returns the listener of the transport.
    pub fn get_ref(&self) -> &L {
        &self.listener
    }

    /// Returns the settings of the server, whose certificates can be replaced.
    pub fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }
}

impl<L: evy_net::Listener> evy_net::Listener for Listener<L> {
    type Stream = Stream<L::Stream>;
    type Addr = L::Addr;

    /// Accepts the next connection, without its handshake.
    fn accept(&self) -> io::Result<(Self::Stream, L::Addr)> {
        let (stream, addr) = self.listener.accept()?;
        Ok((self.acceptor.start(stream)?, addr))
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}
