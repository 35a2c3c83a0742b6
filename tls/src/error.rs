//! Errors of TLS as errors of I/O, with a sentence that helps.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};

use rustls::{AlertDescription, CertificateError, Connection, InconsistentKeys};

/// An error of rustls with a hint. Its source is the error itself.
#[derive(Debug)]
struct Explained {
    hint: &'static str,
    error: rustls::Error,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hint, error } = self;
        if hint.is_empty() {
            return write!(f, "TLS: {error}");
        }
        write!(f, "TLS: {error}: {hint}")
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Converts an error of rustls.
pub(crate) fn of_rustls(error: rustls::Error) -> io::Error {
    let hint = hint(&error);
    io::Error::new(io::ErrorKind::InvalidData, Explained { hint, error })
}

/// Converts an error of I/O in which rustls has wrapped one of its own. Returns others as they are.
pub(crate) fn of_io(error: io::Error) -> io::Error {
    match error.downcast() {
        Ok(error) => of_rustls(error),
        Err(other) => other,
    }
}

/// Returns the error with which the session has failed, if it has.
pub(crate) fn check(connection: &mut Connection) -> io::Result<()> {
    // rustls does no I/O here.
    connection.writer().flush().map_err(of_io)
}

fn hint(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "the server wants a client certificate, and none was sent"
            }
            AlertDescription::UnknownCA => "the peer does not know the issuer of the certificate",
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown => "the peer does not accept the certificate",
            AlertDescription::CertificateExpired => "the certificate has expired for the peer",
            AlertDescription::NoApplicationProtocol => {
                "the peer speaks none of the protocols that were offered by ALPN"
            }
            AlertDescription::ProtocolVersion => "the peer does not speak this version of TLS",
            AlertDescription::HandshakeFailure => {
                "both sides have no version or cipher suite in common, or a certificate is missing"
            }
            AlertDescription::UnrecognisedName => "the server does not know this server name",
            _ => "",
        },
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the roots of this side do not include the issuer of the certificate"
        }
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the private key does not belong to the certificate"
        }
        rustls::Error::NoCertificatesPresented => "the client has sent no certificate",
        rustls::Error::NoApplicationProtocol => {
            "both sides have no protocol in common that was offered by ALPN"
        }
        rustls::Error::HandshakeNotComplete => "the stream was interrupted and cannot be used",
        _ => "",
    }
}

pub(crate) fn truncated() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed the connection without close_notify: the data may be truncated",
    )
}

pub(crate) fn ended_in_handshake() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed the connection during the TLS handshake",
    )
}

pub(crate) fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "this side has already ended the TLS stream",
    )
}

pub(crate) fn invalid_input(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}
