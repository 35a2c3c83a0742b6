//! The connectors: TCP, and the chain of an agent.

use evy_net::{TcpStream, connect, connect_timeout};
use ureq::Error;
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, Either, RustlsConnector, Transport,
};

use crate::deadline::Deadline;
use crate::socks::SocksConnector;
use crate::transport::StreamTransport;

/// Returns the chain of connectors that [`agent`](crate::agent) uses: SOCKS and CONNECT proxies,
/// TCP and TLS.
///
/// # Examples
///
/// The same chain, built from its parts:
///
/// ```
/// use evy::ureq::ureq::Agent;
/// use evy::ureq::ureq::unversioned::transport::{
///     ConnectProxyConnector, Connector, RustlsConnector,
/// };
/// use evy::ureq::{DnsResolver, SocksConnector, TcpConnector};
///
/// let connector = SocksConnector::new()
///     .chain(ConnectProxyConnector::default())
///     .chain(TcpConnector::new())
///     .chain(RustlsConnector::default());
/// let agent = Agent::with_parts(Default::default(), connector, DnsResolver::new());
/// ```
pub fn connector() -> impl Connector<Out = impl Transport> {
    Connector::<()>::chain(SocksConnector::new(), ConnectProxyConnector::default())
        .chain(TcpConnector::new())
        .chain(RustlsConnector::default())
}

/// Opens TCP connections of evy, unless a connector before it in the chain has opened one.
#[derive(Clone, Debug, Default)]
pub struct TcpConnector(());

impl TcpConnector {
    /// Creates a connector.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, StreamTransport<TcpStream>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let deadline = Deadline::of_connecting(details);
        let transport = connect_tcp(&details.addrs, details, deadline)?;
        Ok(Some(Either::B(transport)))
    }
}

/// Opens a connection to one of `addrs`.
///
/// Parks until the connection is established.
pub(crate) fn connect_tcp(
    addrs: &ResolvedSocketAddrs,
    details: &ConnectionDetails<'_>,
    deadline: Deadline,
) -> Result<StreamTransport<TcpStream>, Error> {
    let connected = match deadline.left()? {
        Some(left) => connect_timeout(&addrs[..], left),
        None => connect(&addrs[..]),
    };
    let stream = connected.map_err(|error| deadline.error(error))?;
    stream.set_nodelay(details.config.no_delay())?;
    StreamTransport::new(stream, details)
}
