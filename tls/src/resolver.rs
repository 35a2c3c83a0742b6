//! `Resolver`: which identity a server shows to a client.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::identity::Identity;

/// Chooses by the name that the client asks for (SNI), and by the signatures that it accepts.
///
/// A client that asks for another name, or for none, gets the first identity. It will tell its user
/// which name is wrong, which an alert would not.
#[derive(Debug)]
pub(crate) struct Resolver(Vec<Identity>);

impl Resolver {
    /// `identities` must not be empty.
    pub(crate) fn new(identities: Vec<Identity>) -> Self {
        debug_assert!(!identities.is_empty());
        Self(identities)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let can_sign = |key: &&Identity| key.0.key.choose_scheme(schemes).is_some();
        let asked = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let is_asked = |key: &&Identity| match &asked {
            Some(name) => is_valid_for(key, name),
            None => false,
        };
        let chosen = match self.0.as_slice() {
            [only] => Some(only),
            all => {
                let named = all.iter().filter(is_asked).find(can_sign);
                named.or_else(|| all.iter().find(can_sign))
            }
        };
        chosen.map(|key| Arc::clone(&key.0))
    }
}

fn is_valid_for(identity: &Identity, name: &ServerName<'_>) -> bool {
    let certificate = identity.0.end_entity_cert();
    let parsed = certificate.and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}
