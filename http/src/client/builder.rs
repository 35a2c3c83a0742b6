//! `ClientBuilder`: configures a client.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;

use super::Client;
use super::connector::{self, AnyConnector, Connector};
use super::settings::Settings;
use super::tls::TlsSettings;
use crate::limits::MAX_HEADERS;

/// Configures a [`Client`]. Returned by [`Client::builder`].
///
/// A timeout of [`Duration::MAX`] is no limit. The timeouts and the number of redirects can be
/// replaced for one request; see [`RequestOptions`](crate::RequestOptions).
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
    connector: AnyConnector,
    tls: TlsSettings,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            settings: Settings::default(),
            connector: connector::tcp(),
            tls: TlsSettings::default(),
        }
    }

    /// Sets how long an exchange may take, from connecting to the last byte of the response's body,
    /// redirects included. The default is 60 seconds.
    ///
    /// Bytes that keep arriving slowly do not extend this time. A long upload or download needs a
    /// longer one. No other timeout ends a transfer that the server lets stall.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.exchange.timeout = timeout;
        self
    }

    /// Sets how long connecting may take, with the resolution of the host and the handshake of TLS.
    /// The default is 10 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.exchange.connect_timeout = timeout;
        self
    }

    /// Sets how long the head of a response may take once the request has been sent. The default is
    /// no limit other than [`timeout`](Self::timeout).
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.settings.exchange.first_byte_timeout = timeout;
        self
    }

    /// Sets how long a request with `Expect: 100-continue` waits for the server before it sends its
    /// body nevertheless. The default is one second.
    pub fn continue_timeout(mut self, timeout: Duration) -> Self {
        self.settings.exchange.continue_timeout = timeout;
        self
    }

    /// Sets how many redirects of one request are followed. The default is 10.
    ///
    /// One more is an error. With zero, a redirect is returned like any other response.
    pub fn max_redirects(mut self, redirects: u32) -> Self {
        self.settings.exchange.max_redirects = redirects;
        self
    }

    /// Sets whether a redirect may lead from `https` to `http`. The default is `false`: such a
    /// redirect is an error.
    pub fn allow_redirects_to_http(mut self, allow: bool) -> Self {
        self.settings.allows_redirects_to_http = allow;
        self
    }

    /// Sets the `User-Agent` of requests that have none. The default is `evy/` and the version;
    /// `None` means that none is sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::{Client, HeaderValue};
    ///
    /// let name = HeaderValue::from_static("crawler/1.0 (+https://example.com/)");
    /// let client = Client::builder().user_agent(name).build();
    /// ```
    pub fn user_agent(mut self, user_agent: impl Into<Option<HeaderValue>>) -> Self {
        self.settings.user_agent = user_agent.into();
        self
    }

    /// Sets the maximum length of a response's head in bytes. The default is 64 KiB.
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.head = bytes;
        self
    }

    /// Sets the maximum number of headers of a response. The default is 100. At most 256 are
    /// supported.
    pub fn max_headers(mut self, headers: usize) -> Self {
        self.settings.limits.headers = headers.min(MAX_HEADERS);
        self
    }

    /// Sets the maximum length of a response's body in bytes. The default is 64 MiB.
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.settings.limits.body = bytes;
        self
    }

    /// Sets how many idle connections to one host are kept. The default is 8.
    ///
    /// With zero, each request carries `Connection: close`, so that the server expects no further
    /// request.
    pub fn max_idle_per_host(mut self, connections: usize) -> Self {
        self.settings.max_idle_per_host = connections;
        self
    }

    /// Sets how long a connection is kept without a request. The default is 90 seconds.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_timeout = timeout;
        self
    }

    /// Sets the size of the stacks on which the bodies of requests are read and sent, in bytes, like
    /// [`Builder::stack_size`](evy_runtime::thread::Builder::stack_size). The default is 256 KiB.
    ///
    /// A body that is longer than 16 KiB, or that is not in memory, is sent by a green thread of its
    /// own. Another one reads the response meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::Client;
    ///
    /// // Debug builds of deep encoders and compressors need more stack than release builds.
    /// let client = Client::builder().stack_size(1 << 20).build();
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = Some(bytes);
        self
    }

    /// Sets how the client connects, instead of by TCP. For a URL with `https`, the client adds TLS
    /// to the connection itself.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = connector::any(connector);
        self
    }

    /// Sets the connector of TLS, for example one that trusts other roots. The default is
    /// [`evy_tls::Connector::new`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use evy::http::Client;
    /// use evy::tls::Connector;
    ///
    /// let roots = std::fs::read("company-ca.pem")?;
    /// let tls = Connector::builder().only_roots_pem(roots).build()?;
    /// let client = Client::builder().tls(tls).build();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    pub fn tls(mut self, connector: evy_tls::Connector) -> Self {
        self.tls = Some(connector);
        self
    }

    /// Builds the client.
    #[must_use]
    pub fn build(self) -> Client {
        Client::from_parts(self.settings, self.connector, self.tls)
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientBuilder")
            .field(&self.settings)
            .finish()
    }
}
