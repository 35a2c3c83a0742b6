//! TLS for `https`.

use std::io;
use std::time::Duration;

use super::connection::Connection;
use super::connector::within;

/// The settings of TLS. `None` stands for those of [`evy_tls::Connector::new`].
pub(super) type TlsSettings = Option<evy_tls::Connector>;

/// Performs the handshake of TLS over `connection`.
///
/// Parks until the handshake is done.
pub(super) fn secure(
    settings: &TlsSettings,
    host: &str,
    connection: Connection,
    limit: Duration,
) -> io::Result<Connection> {
    let connector = settings.clone().unwrap_or_default();
    // The connector may have a lower limit.
    within(limit, || connector.connect(host, connection)).map(Connection::new)
}
