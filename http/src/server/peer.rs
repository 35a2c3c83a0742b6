//! `Peer`: the addresses of a connection.

use std::any::Any;
use std::fmt::{self, Debug};
use std::net::SocketAddr;
use std::sync::Arc;

/// The addresses of a request's connection. Each request has it in its extensions.
///
/// # Examples
///
/// ```no_run
/// use evy::http::{self, Peer};
///
/// let listener = evy::listen("127.0.0.1:8000")?;
/// http::serve(listener, |request| {
///     let peer = request.extensions().get::<Peer>();
///     match peer.and_then(Peer::addr) {
///         Some(addr) => format!("you are {addr}\n"),
///         None => "you are not on TCP\n".to_owned(),
///     }
/// })
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Peer(Arc<Addresses>);

struct Addresses {
    addr: Box<dyn Address>,
    local: Option<Box<dyn Address>>,
}

/// An address of any transport.
trait Address: Any + Debug + Send + Sync {}

impl<A: Any + Debug + Send + Sync> Address for A {}

impl Peer {
    /// Creates the peer of a connection from `addr`, in any form.
    #[must_use]
    pub fn new(addr: impl Debug + Send + Sync + 'static) -> Self {
        Self::from_addresses(Box::new(addr), None)
    }

    /// Creates the peer of a connection from `addr` to `local`, the address of this end.
    #[must_use]
    pub fn with_local(
        addr: impl Debug + Send + Sync + 'static,
        local: impl Debug + Send + Sync + 'static,
    ) -> Self {
        Self::from_addresses(Box::new(addr), Some(Box::new(local)))
    }

    fn from_addresses(addr: Box<dyn Address>, local: Option<Box<dyn Address>>) -> Self {
        Self(Arc::new(Addresses { addr, local }))
    }

    /// Converts what describes a peer: a `Peer`, or an address.
    pub(super) fn of(peer: impl Debug + Send + Sync + 'static) -> Self {
        match (&peer as &dyn Any).downcast_ref::<Self>() {
            Some(peer) => peer.clone(),
            None => Self::new(peer),
        }
    }

    /// Returns the address of the peer, if it is an IP address with a port.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.downcast_ref().copied()
    }

    /// Returns the address of this end, if it is known and is an IP address with a port.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_downcast_ref().copied()
    }

    /// Returns the address of the peer, if it is an `A`.
    #[must_use]
    pub fn downcast_ref<A: 'static>(&self) -> Option<&A> {
        (&*self.0.addr as &dyn Any).downcast_ref()
    }

    /// Returns the address of this end, if it is known and is an `A`.
    #[must_use]
    pub fn local_downcast_ref<A: 'static>(&self) -> Option<&A> {
        let local = self.0.local.as_deref()?;
        (local as &dyn Any).downcast_ref()
    }
}

impl Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("addr", &self.0.addr)
            .field("local", &self.0.local)
            .finish()
    }
}
