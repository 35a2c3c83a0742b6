//! `Session`: what the handshake has settled.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::{Connection, HandshakeKind, ProtocolVersion, SupportedCipherSuite};

/// What the handshake of a [`Stream`](crate::Stream) has settled.
#[derive(Clone)]
pub struct Session {
    alpn: Option<Vec<u8>>,
    peer_certificates: Option<Vec<CertificateDer<'static>>>,
    server_name: Option<String>,
    protocol_version: Option<ProtocolVersion>,
    cipher_suite: Option<SupportedCipherSuite>,
    is_resumed: bool,
}

impl Session {
    pub(crate) fn of(connection: &Connection) -> Self {
        let server_name = match connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        };
        Self {
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: connection.peer_certificates().map(<[_]>::to_vec),
            server_name,
            protocol_version: connection.protocol_version(),
            cipher_suite: connection.negotiated_cipher_suite(),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Returns the protocol that both sides have agreed on by ALPN, such as `b"http/1.1"`.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// Returns the certificate chain of the peer, its own certificate first. `None` for a client
    /// without a certificate.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.peer_certificates.as_deref()
    }

    /// Returns the name of the server that the client has asked for (SNI). `None` on the side of
    /// the client, and if the client has used an IP address.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns the version of TLS.
    #[must_use]
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.protocol_version
    }

    /// Returns the cipher suite.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.cipher_suite
    }

    /// Returns `true` if an earlier session was resumed, so that certificates were not sent again.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("protocol_version", &self.protocol_version)
            .field("alpn", &self.alpn.as_deref().map(String::from_utf8_lossy))
            .field("server_name", &self.server_name)
            .field("is_resumed", &self.is_resumed)
            .finish_non_exhaustive()
    }
}
