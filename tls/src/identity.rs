//! `Identity`: a certificate chain and its private key.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use evy_runtime::fs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::error::{invalid_input, of_rustls};
use crate::provider::provider;

/// A certificate chain and its private key, with which one side shows the other what it is.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl Identity {
    /// Reads a certificate chain and a private key in PEM format. The first certificate belongs to
    /// the key; those of intermediate issuers follow. Both may be the same text.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if something is missing or malformed, and an error if the key does
    /// not belong to the certificate.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> io::Result<Self> {
        Self::from_der(certificates(chain.as_ref())?, private_key(key.as_ref())?)
    }

    /// Reads a certificate chain and a private key from files, like [`from_pem`](Self::from_pem).
    ///
    /// Parks until they are read.
    ///
    /// # Errors
    ///
    /// Returns the errors of the file system, and those of `from_pem`. The message names the file.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let (chain_pem, key_pem) = (read(chain)?, read(key)?);
        let certificates = certificates(&chain_pem).map_err(|error| in_file(chain, error))?;
        let private_key = private_key(&key_pem).map_err(|error| in_file(key, error))?;
        Self::from_der(certificates, private_key).map_err(|error| in_file(key, error))
    }

    fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> io::Result<Self> {
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(of_rustls)?;
        Ok(Self(Arc::new(certified)))
    }
}

impl fmt::Debug for Identity {
    /// Does not show the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| in_file(path, error))
}

/// Returns an error that names the file.
fn in_file(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Returns the certificates in a PEM text.
///
/// # Errors
///
/// Returns `InvalidInput` if there is none, and if the text is malformed.
pub(crate) fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| malformed("certificate", &error))?;
    if found.is_empty() {
        return Err(invalid_input("there is no certificate in the PEM text"));
    }
    Ok(found)
}

fn private_key(pem: &[u8]) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(pem, b"ENCRYPTED") => {
            invalid_input("the private key is encrypted: it must be decrypted first")
        }
        pem::Error::NoItemsFound => invalid_input("there is no private key in the PEM text"),
        error => malformed("private key", &error),
    })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn malformed(what: &str, error: &pem::Error) -> io::Error {
    invalid_input(format!("the PEM text of the {what} is malformed: {error}"))
}
