//! The roots that a client trusts by default.

use std::io;
use std::sync::Arc;

use evy_runtime::sync::OnceLock;
use evy_runtime::unblock;
use rustls::RootCertStore;

use crate::identity::certificates;

/// The roots of the system, which are loaded once.
static SYSTEM_ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// Returns the roots of the system, or Mozilla's if it has none.
///
/// Parks until they are loaded, the first time.
pub(crate) fn system_roots() -> Arc<RootCertStore> {
    Arc::clone(SYSTEM_ROOTS.get_or_init(|| Arc::new(unblock(load))))
}

fn load() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // What cannot be read is passed over: some systems have certificates that are malformed.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// Adds the certificates of a PEM text.
///
/// # Errors
///
/// Returns `InvalidInput` if there is none, and an error if one cannot be a root.
pub(crate) fn add(roots: &mut RootCertStore, pem: &[u8]) -> io::Result<()> {
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(crate::error::of_rustls)?;
    }
    Ok(())
}
