//! `Destination`: what a connection leads to.

use std::io;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::host::is_host;

/// What a connection leads to: the scheme, the host and the port of a URL.
///
/// Two requests can use the same connection only if their destinations are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    is_https: bool,
    host: String,
    port: u16,
}

impl Destination {
    /// Returns what a request for `uri` is sent to.
    pub(super) fn of(uri: &Uri) -> io::Result<Self> {
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) => {
                let message =
                    format!("only 'http://' and 'https://' are supported, not '{scheme}://'");
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
            None => return Err(invalid("the URL should start with 'http://' or 'https://'")),
        };
        let authority = uri.authority().map_or("", Authority::as_str);
        if authority.contains('@') {
            return Err(invalid(
                "a user name in a URL is not sent: use the header `Authorization`",
            ));
        }
        let host = uri.host().unwrap_or_default();
        if host.is_empty() {
            return Err(invalid("the URL has no host"));
        }
        let port = authority.strip_prefix(host).unwrap_or_default();
        let default = if is_https { 443 } else { 80 };
        let Some(port) = parse_port(port, default) else {
            return Err(invalid("the port of the URL is not a number below 65536"));
        };
        if !is_host(authority.as_bytes()) {
            return Err(invalid("the host of the URL is malformed"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            is_https,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Returns the host in lower case, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port. It is that of the scheme if the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Parses what follows the host: nothing, or a colon and the port, which may be empty. Returns
/// `None` if the port is malformed or too large.
fn parse_port(text: &str, default: u16) -> Option<u16> {
    match text.strip_prefix(':').unwrap_or(text) {
        "" => Some(default),
        // `parse` accepts a sign.
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}
