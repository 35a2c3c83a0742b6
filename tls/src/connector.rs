//! `Connector`: the client's side.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use evy_runtime::sync::OnceLock;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};

use crate::error::{invalid_input, of_rustls};
use crate::identity::Identity;
use crate::provider::provider;
use crate::roots;
use crate::stream::Stream;

/// How long a handshake may take, unless another limit is set.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of `Connector::new`. They are shared, so that sessions can be resumed.
static DEFAULT: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// Performs the handshake of a client over `stream`, with the settings of [`Connector::new`].
///
/// `server_name` is what the certificate of the server must be valid for.
///
/// Parks until the handshake is done, at most for ten seconds.
///
/// # Errors
///
/// Returns an error as [`Connector::connect`] does.
///
/// # Examples
///
/// ```no_run
/// let tcp = evy::connect("example.org:443")?;
/// let stream = evy::tls::connect("example.org", tcp)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn connect<S: evy_net::Stream>(server_name: &str, stream: S) -> io::Result<Stream<S>> {
    Connector::new().connect(server_name, stream)
}

/// Connects clients. Cloning it is cheap, and clones resume each other's sessions.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// let connector = evy::tls::Connector::new().handshake_timeout(Some(Duration::from_secs(3)));
/// let stream = connector.connect("example.org", evy::connect("example.org:443")?)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    handshake_timeout: Option<Duration>,
}

impl Connector {
    /// Creates a connector that trusts the roots of the system, or Mozilla's if it has none.
    ///
    /// All connectors that are created like this share their sessions.
    ///
    /// Parks until the roots are loaded, the first time.
    #[must_use]
    pub fn new() -> Self {
        Self::from(Arc::clone(DEFAULT.get_or_init(default_config)))
    }

    /// Returns a builder of a connector with other settings.
    pub fn builder() -> ConnectorBuilder {
        ConnectorBuilder::default()
    }

    /// Sets how long a handshake may take; `None` means without limit. The default is ten seconds.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Performs the handshake over `stream`.
    ///
    /// `server_name` is a DNS name or an IP address. The certificate of the server must be valid
    /// for it.
    ///
    /// Parks until the handshake is done, at most for the handshake timeout.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the name is malformed, `InvalidData` if the server cannot be
    /// trusted or does not speak TLS, `TimedOut`, `UnexpectedEof`, and the errors of the transport.
    pub fn connect<S: evy_net::Stream>(
        &self,
        server_name: &str,
        stream: S,
    ) -> io::Result<Stream<S>> {
        let name = parse_name(server_name)?;
        let client = ClientConnection::new(Arc::clone(&self.config), name).map_err(of_rustls)?;
        let mut stream = Stream::new(stream, Connection::Client(client), self.handshake_timeout);
        evy_net::Stream::handshake(&mut stream)?;
        Ok(stream)
    }
}

fn default_config() -> Arc<ClientConfig> {
    let config = config(roots::system_roots(), None);
    Arc::new(config.expect("the providers support the default versions of TLS"))
}

fn config(
    roots: Arc<RootCertStore>,
    identity: Option<Identity>,
) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match identity {
        Some(Identity(key)) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
        }
        None => builder.with_no_client_auth(),
    })
}

/// Parses a name as it stands in a URL, where an IPv6 address has brackets.
fn parse_name(name: &str) -> io::Result<ServerName<'static>> {
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let parsed = ServerName::try_from(inner.unwrap_or(name).to_owned());
    parsed.map_err(|_| invalid_input(format!("{name:?} is neither a DNS name nor an IP address")))
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

/// The handshake timeout is ten seconds.
impl From<Arc<ClientConfig>> for Connector {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self {
            config,
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        }
    }
}

/// A builder of a [`Connector`]. Returned by [`Connector::builder`].
///
/// # Examples
///
/// ```no_run
/// use evy::tls::{Connector, Identity};
///
/// let connector = Connector::builder()
///     .only_roots_pem(std::fs::read("company-ca.pem")?)
///     .identity(Identity::from_pem_files("client.pem", "client-key.pem")?)
///     .alpn(["http/1.1"])
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct ConnectorBuilder {
    pems: Vec<Vec<u8>>,
    without_system_roots: bool,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
}

impl ConnectorBuilder {
    /// Trusts the certificates of a PEM text, besides the roots of the system.
    pub fn add_roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.pems.push(pem.as_ref().to_vec());
        self
    }

    /// Trusts the certificates of a PEM text, and not the roots of the system.
    pub fn only_roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.without_system_roots = true;
        self.add_roots_pem(pem)
    }

    /// Sets what a server that asks for a client certificate gets.
    ///
    /// With TLS 1.3, a server refuses it after the handshake, or the lack of it. So `connect`
    /// succeeds, and a later read returns the error.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sets the protocols that are offered by ALPN, in the order of preference. The default is
    /// none.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols
            .into_iter()
            .map(|name| name.as_ref().to_vec())
            .collect();
        self
    }

    /// Creates the connector. It shares no sessions with others.
    ///
    /// Parks until the roots of the system are loaded, if they are wanted.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if a PEM text is malformed, and an error if a certificate in it
    /// cannot be a root.
    pub fn build(self) -> io::Result<Connector> {
        let mut roots = match self.without_system_roots {
            true => RootCertStore::empty(),
            false => RootCertStore::clone(&roots::system_roots()),
        };
        for pem in &self.pems {
            roots::add(&mut roots, pem)?;
        }
        let mut config = config(Arc::new(roots), self.identity).map_err(of_rustls)?;
        config.alpn_protocols = self.alpn;
        Ok(Connector::from(Arc::new(config)))
    }
}

impl fmt::Debug for ConnectorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorBuilder").finish_non_exhaustive()
    }
}
