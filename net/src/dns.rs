//! Name resolution by the system's resolver, on a helper OS thread.

use std::io;
use std::net::SocketAddr;

/// Returns all addresses of `host`, in the order of the resolver.
///
/// Parks until the resolver has answered.
///
/// # Errors
///
/// Returns the same errors as std.
pub(crate) fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    evy_runtime::unblock(move || {
        let addrs = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port))?;
        Ok(addrs.collect())
    })
}
