//! `ToSocketAddrs`: types that can be resolved to socket addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::option;
use std::slice;
use std::{iter, vec};

use evy_runtime::lowlevel::{charge, charge_failure};

use crate::dns;

/// A type that can be resolved to socket addresses, like [`std::net::ToSocketAddrs`].
///
/// It is implemented for the same types as std's trait.
///
/// # Differences from std
///
/// - Names are resolved on helper OS threads, while the green thread parks. Green threads that
///   resolve the same name at the same time share one lookup. At most 16 lookups run at a time,
///   or 64 with those that no green thread waits for any more.
///
/// # Examples
///
/// ```
/// use evy::net::ToSocketAddrs;
///
/// let addr = ("127.0.0.1", 80).to_socket_addrs()?.next();
/// assert_eq!(addr, "127.0.0.1:80".to_socket_addrs()?.next());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// The iterator over the addresses.
    type Iter: Iterator<Item = SocketAddr>;

    /// Returns an iterator over the resolved addresses.
    ///
    /// Parks until the name is resolved, if there is a name to resolve.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the value is not an address, and the error of the system if a name
    /// cannot be resolved.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

macro_rules! one_address {
    ($($kind:ty),*) => { $(
        impl ToSocketAddrs for $kind {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(Some(SocketAddr::from(*self)).into_iter())
            }
        }
    )* };
}

one_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => Ok(dns::lookup(host, port)?.into_iter()),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(addr) = self.parse::<SocketAddr>() {
            return Ok(vec![addr].into_iter());
        }
        let invalid = |what| {
            let message: String =
                format!("{what} in the address '{self}', which should be 'host:port'");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        };
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("there is no port"))?;
        let port = port
            .parse::<u16>()
            .map_err(|_| invalid("the port is not a number below 65536"))?;
        (host, port).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Copied<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().copied())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }
}

/// Runs `f` on each address until it succeeds. A failure is charged, because it can be repeated.
///
/// # Errors
///
/// Returns the error of the last address, and `InvalidInput` if there is no address.
pub(crate) fn each_addr<T>(
    addr: impl ToSocketAddrs,
    f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let result = first_success(addr, f);
    if result.is_err() {
        charge_failure();
    }
    result
}

fn first_success<T>(
    addr: impl ToSocketAddrs,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    charge();
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match f(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_address))
}

/// Returns the first address.
///
/// # Errors
///
/// Returns the error of the resolution, and `InvalidInput` if there is no address.
pub(crate) fn first_addr(addr: impl ToSocketAddrs) -> io::Result<SocketAddr> {
    let first = addr.to_socket_addrs().map(|mut addrs| addrs.next());
    let first = first.and_then(|first| first.ok_or_else(no_address));
    first.inspect_err(|_| charge_failure())
}

#[cold]
pub(crate) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the host name has no address")
}
