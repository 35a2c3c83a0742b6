//! Where sockets that share a port do not share the connections: one socket for all workers.

use std::net::TcpListener;

use socket2::Socket;

/// Whether the system spreads connections over sockets that share a port.
pub(super) const BALANCES: bool = false;

/// Does nothing, because there is only one socket.
pub(super) fn share_port(_socket: &Socket) -> std::io::Result<()> {
    Ok(())
}

/// Does nothing. A connection that is established while the socket is closed is reset.
pub(super) fn refuse_handshakes(_listener: &TcpListener) {}
