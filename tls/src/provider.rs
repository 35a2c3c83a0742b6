//! The provider of cryptography.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as selected;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as selected;

/// Returns the provider that the program has installed, or that of the features.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    match CryptoProvider::get_default() {
        Some(installed) => Arc::clone(installed),
        None => Arc::new(selected::default_provider()),
    }
}

/// Returns an encrypter of session tickets, with keys of its own.
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    selected::Ticketer::new()
}
