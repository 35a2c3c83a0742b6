//! `Acceptor`: the server's side.

use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{Connection, RootCertStore, ServerConfig, ServerConnection};

use crate::connector::HANDSHAKE_TIMEOUT;
use crate::error::{invalid_input, of_rustls};
use crate::identity::Identity;
use crate::provider::{provider, ticketer};
use crate::resolver::Resolver;
use crate::roots;
use crate::stream::Stream;

/// Performs the handshake of a server over `stream`. The same as [`Acceptor::accept`].
///
/// Parks until the handshake is done, at most for the handshake timeout.
///
/// # Errors
///
/// Returns an error as `Acceptor::accept` does.
pub fn accept<S: evy_net::Stream>(acceptor: &Acceptor, stream: S) -> io::Result<Stream<S>> {
    acceptor.accept(stream)
}

/// The settings of a server, with its certificates, which can be replaced while it runs.
///
/// A clone is another handle to the same settings. Clients can resume their sessions, also after
/// the certificates were replaced.
///
/// # Examples
///
/// ```no_run
/// use evy::tls::{Acceptor, Listener};
///
/// let acceptor = Acceptor::from_pem(std::fs::read("chain.pem")?, std::fs::read("key.pem")?)?;
/// let server = Listener::new(evy::listen("0.0.0.0:443")?, acceptor);
/// evy::serve(server, |stream, addr| println!("{addr}: {:?}", stream.session()))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Acceptor {
    /// A lock of std, because it is only held to copy or to replace a pointer.
    config: Arc<RwLock<Arc<ServerConfig>>>,
    handshake_timeout: Option<Duration>,
}

impl Acceptor {
    /// Creates an acceptor with one certificate chain and its private key in PEM format. Both may
    /// be the same text.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Identity::from_pem`] does.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> io::Result<Self> {
        let identity = Identity::from_pem(chain, key)?;
        Self::builder().identity(identity).build()
    }

    /// Returns a builder of an acceptor, for several certificates and other settings.
    pub fn builder() -> AcceptorBuilder {
        AcceptorBuilder::default()
    }

    /// Sets how long a handshake may take; `None` means without limit. The default is ten seconds.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Replaces the certificates by one chain and its private key, for connections that are
    /// accepted from now on by any clone.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Identity::from_pem`] does, and changes nothing then.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(acceptor: evy::tls::Acceptor) -> std::io::Result<()> {
    /// acceptor.reload(evy::fs::read("chain.pem")?, evy::fs::read("key.pem")?)
    /// # }
    /// ```
    pub fn reload(&self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> io::Result<()> {
        self.reload_identities([Identity::from_pem(chain, key)?])
    }

    /// Replaces the certificates by those of `identities`, like [`reload`](Self::reload).
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if there is none, and changes nothing then.
    pub fn reload_identities(
        &self,
        identities: impl IntoIterator<Item = Identity>,
    ) -> io::Result<()> {
        let resolver = resolver(identities.into_iter().collect())?;
        let mut config = ServerConfig::clone(&self.config());
        config.cert_resolver = resolver;
        self.replace_config(Arc::new(config));
        Ok(())
    }

    /// Replaces all settings, for connections that are accepted from now on by any clone.
    pub fn replace_config(&self, config: Arc<ServerConfig>) {
        let mut current = self.config.write().unwrap_or_else(PoisonError::into_inner);
        let old = mem::replace(&mut *current, config);
        drop(current);
        // Dropped without the lock, because that may run code of the program.
        drop(old);
    }

    /// Performs the handshake over `stream`.
    ///
    /// A server should not call it in its accept loop, where a slow client would delay the others:
    /// see [`Listener`](crate::Listener).
    ///
    /// Parks until the handshake is done, at most for the handshake timeout.
    ///
    /// # Errors
    ///
    /// Returns `InvalidData` if the client is not accepted or does not speak TLS, `TimedOut`,
    /// `UnexpectedEof`, and the errors of the transport.
    pub fn accept<S: evy_net::Stream>(&self, stream: S) -> io::Result<Stream<S>> {
        let mut stream = self.start(stream)?;
        evy_net::Stream::handshake(&mut stream)?;
        Ok(stream)
    }

    /// Wraps `stream`, whose handshake is still to be done.
    ///
    /// [`Stream::handshake`](evy_net::Stream::handshake) performs it, or else the first read or
    /// write.
    ///
    /// # Errors
    ///
    /// Returns an error if the settings are not valid.
    pub fn start<S: evy_net::Stream>(&self, stream: S) -> io::Result<Stream<S>> {
        let server = ServerConnection::new(self.config()).map_err(of_rustls)?;
        Ok(Stream::new(
            stream,
            Connection::Server(server),
            self.handshake_timeout,
        ))
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The handshake timeout is ten seconds.
impl From<Arc<ServerConfig>> for Acceptor {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self {
            config: Arc::new(RwLock::new(config)),
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// A builder of an [`Acceptor`]. Returned by [`Acceptor::builder`].
///
/// # Examples
///
/// ```no_run
/// use evy::tls::{Acceptor, Identity};
///
/// let acceptor = Acceptor::builder()
///     .identity(Identity::from_pem_files("example.org.pem", "example.org.key")?)
///     .identity(Identity::from_pem_files("example.net.pem", "example.net.key")?)
///     .require_client_certificates(std::fs::read("company-ca.pem")?)
///     .alpn(["http/1.1"])
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct AcceptorBuilder {
    identities: Vec<Identity>,
    clients: Clients,
    alpn: Vec<Vec<u8>>,
}

/// Which clients are accepted.
#[derive(Default)]
enum Clients {
    #[default]
    All,
    /// Those without a certificate, and those with one that the PEM text has issued.
    AnonymousOrIssuedBy(Vec<u8>),
    IssuedBy(Vec<u8>),
}

impl AcceptorBuilder {
    /// Adds a certificate. The name that a client asks for (SNI) selects one of several. The first
    /// is used for other names, and for clients that ask for none.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Accepts only clients with a certificate that one of the roots in a PEM text has issued.
    ///
    /// [`Acceptor::reload`] does not change these roots, but [`Acceptor::replace_config`] does.
    pub fn require_client_certificates(mut self, roots_pem: impl AsRef<[u8]>) -> Self {
        self.clients = Clients::IssuedBy(roots_pem.as_ref().to_vec());
        self
    }

    /// Asks clients for a certificate, which one of the roots in a PEM text must have issued, and
    /// accepts clients without one.
    pub fn request_client_certificates(mut self, roots_pem: impl AsRef<[u8]>) -> Self {
        self.clients = Clients::AnonymousOrIssuedBy(roots_pem.as_ref().to_vec());
        self
    }

    /// Sets the protocols that are accepted by ALPN, in the order of preference. A client that
    /// offers others only is refused. The default is none, which ignores what clients offer.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols
            .into_iter()
            .map(|name| name.as_ref().to_vec())
            .collect();
        self
    }

    /// Creates the acceptor.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if there is no identity, or a PEM text is malformed, and an error if
    /// a certificate in it cannot be a root.
    pub fn build(self) -> io::Result<Acceptor> {
        let resolver = resolver(self.identities)?;
        let verifier = self.clients.verifier()?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(of_rustls)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = self.alpn;
        // Sessions are kept by the clients, so there is no limit to how many can be resumed.
        config.ticketer = ticketer().map_err(of_rustls)?;
        Ok(Acceptor::from(Arc::new(config)))
    }
}

impl fmt::Debug for AcceptorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptorBuilder").finish_non_exhaustive()
    }
}

impl Clients {
    fn verifier(&self) -> io::Result<Option<Arc<dyn ClientCertVerifier>>> {
        let (pem, is_required) = match self {
            Self::All => return Ok(None),
            Self::AnonymousOrIssuedBy(pem) => (pem, false),
            Self::IssuedBy(pem) => (pem, true),
        };
        let mut roots = RootCertStore::empty();
        roots::add(&mut roots, pem)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = match is_required {
            true => builder,
            false => builder.allow_unauthenticated(),
        };
        let verifier = builder.build();
        verifier
            .map(Some)
            .map_err(|error| invalid_input(error.to_string()))
    }
}

fn resolver(identities: Vec<Identity>) -> io::Result<Arc<Resolver>> {
    if identities.is_empty() {
        return Err(invalid_input("a TLS server needs a certificate"));
    }
    Ok(Arc::new(Resolver::new(identities)))
}
