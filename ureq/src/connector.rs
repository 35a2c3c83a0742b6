//! The connectors: TCP, and the chain of an agent.

use evy_net::{TcpStream, connect, connect_timeout};
use evy_runtime::timeout;
use ureq::Error;
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, Either, RustlsConnector, Transport,
};

use crate::deadline::Deadline;
use crate::socks::SocksConnector;
use crate::transport::StreamTransport;

/// Returns the chain of connectors that [`agent`](crate::agent) uses: SOCKS and CONNECT proxies,
/// TCP and TLS. The connect timeout applies to the chain as a whole.
///
/// # Examples
///
/// A chain of the same parts, each of which applies the timeout by itself:
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
    let socks = SocksConnector::new();
    WithinTimeout(
        Connector::<()>::chain(socks, ConnectProxyConnector::default())
            .chain(TcpConnector::new())
            .chain(RustlsConnector::default()),
    )
}

/// Ends a chain of connectors when the connect timeout has passed.
///
/// `ConnectProxyConnector` starts the timeout anew with each byte of the proxy's answer.
#[derive(Debug)]
struct WithinTimeout<C>(C);

impl<C: Connector> Connector for WithinTimeout<C> {
    type Out = C::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let deadline = Deadline::of_connecting(details);
        let Some(left) = deadline.left()? else {
            return self.0.connect(details, chained);
        };
        timeout(left, || self.0.connect(details, chained))
            .unwrap_or_else(|elapsed| Err(deadline.error(elapsed.into())))
    }
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
