//! `DnsResolver`: the resolution of names while the green thread parks.

use evy_net::{SocketAddr, ToSocketAddrs};
use evy_runtime::timeout;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::deadline::Deadline;

/// Resolves names on evy's helper OS threads, as [`ToSocketAddrs`] does.
///
/// Like the `DefaultResolver` of ureq, it uses the first 16 addresses of the families that the
/// configuration allows.
#[derive(Clone, Debug, Default)]
pub struct DnsResolver(());

impl DnsResolver {
    /// Creates a resolver.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Resolver for DnsResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = lookup(&host_and_port(uri)?, Deadline::after(timeout))?;
        let mut addrs = self.empty();
        let family = config.ip_family();
        let wanted = family.keep_wanted(found.into_iter());
        wanted.take(MAX_ADDRS).for_each(|addr| addrs.push(addr));
        match addrs.is_empty() {
            true => Err(Error::HostNotFound),
            false => Ok(addrs),
        }
    }
}

/// The capacity of [`ResolvedSocketAddrs`].
const MAX_ADDRS: usize = 16;

/// Returns the host and the port of a URI, which may be the default one of its scheme.
pub(crate) fn host_and_port(uri: &Uri) -> Result<String, Error> {
    let parts = uri.scheme().zip(uri.authority());
    parts
        .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
        .ok_or_else(|| Error::BadUri(format!("{uri} has no host, or no known scheme")))
}

/// Returns all addresses of `host`.
///
/// Parks until the resolver has answered.
fn lookup(host: &str, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
    let all = || host.to_socket_addrs().map(Iterator::collect);
    let Some(left) = deadline.left()? else {
        return Ok(all()?);
    };
    match timeout(left, all) {
        Ok(Ok(addrs)) => Ok(addrs),
        // Where a timeout cannot unwind, the lookup fails instead.
        Ok(Err(error)) => Err(deadline.left().err().unwrap_or(error.into())),
        Err(elapsed) => Err(deadline.error(elapsed.into())),
    }
}
