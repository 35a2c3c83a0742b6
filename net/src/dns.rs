//! Names: the system's resolver, on a helper OS thread.

use std::io;
use std::net::SocketAddr;

/// All addresses of `host`, in the resolver's order. Parks until it has answered.
///
/// # Errors
///
/// The same that std gives.
pub(crate) fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    evy_runtime::unblock(move || {
        let addrs = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port))?;
        Ok(addrs.collect())
    })
}
