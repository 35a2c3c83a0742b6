//! `Peer`: the addresses of a connection, and what its transport knows.

use std::any::Any;
use std::fmt::{self, Debug};
use std::net::SocketAddr;
use std::sync::Arc;

/// The addresses of a request's connection, and what its transport knows. Each request has it in its
/// extensions.
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
pub struct Peer {
    addresses: Arc<Addresses>,
    info: Option<Arc<dyn Any + Send + Sync>>,
}

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
        Self {
            addresses: Arc::new(Addresses { addr, local }),
            info: None,
        }
    }

    /// Converts what describes a peer: a `Peer`, or an address.
    pub(super) fn of(peer: impl Debug + Send + Sync + 'static) -> Self {
        match (&peer as &dyn Any).downcast_ref::<Self>() {
            Some(peer) => peer.clone(),
            None => Self::new(peer),
        }
    }

    /// Sets what the transport knows of the connection after its handshake.
    pub(super) fn set_info(&mut self, info: Option<Arc<dyn Any + Send + Sync>>) {
        self.info = info.or(self.info.take());
    }

    /// Returns the address of the peer as text.
    pub(super) fn shown(&self) -> String {
        format!("{:?}", self.addresses.addr)
    }

    /// Returns what the transport knows of the connection, if it is an `I`; for example, the session
    /// of TLS. See [`Stream::info`](evy_net::Stream::info).
    #[must_use]
    pub fn info<I: 'static>(&self) -> Option<&I> {
        let info = self.info.as_deref()?;
        (info as &dyn Any).downcast_ref()
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
        (&*self.addresses.addr as &dyn Any).downcast_ref()
    }

    /// Returns the address of this end, if it is known and is an `A`.
    #[must_use]
    pub fn local_downcast_ref<A: 'static>(&self) -> Option<&A> {
        let local = self.addresses.local.as_deref()?;
        (local as &dyn Any).downcast_ref()
    }
}

impl Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("addr", &self.addresses.addr)
            .field("local", &self.addresses.local)
            .finish()
    }
}
