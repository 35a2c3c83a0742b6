//! What takes the place of TLS if the feature `tls` is off.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use super::connection::Connection;

/// There is nothing to set.
pub(super) type TlsSettings = Option<Infallible>;

/// Fails, because there is no TLS.
pub(super) fn secure(
    _settings: &TlsSettings,
    _host: &str,
    _connection: Connection,
    _limit: Duration,
) -> io::Result<Connection> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "'https://' needs the feature `tls` of the crate `evy`",
    ))
}
