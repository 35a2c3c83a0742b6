//! The settings of a client, and those of one request.

use std::time::Duration;

use evy_runtime::thread::Builder;
use http::{Extensions, HeaderValue};

use crate::limits::Limits;

/// The settings that a [`ClientBuilder`](super::ClientBuilder) has collected.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) max_idle_per_host: usize,
    pub(super) idle_timeout: Duration,
    pub(super) allows_redirects_to_http: bool,
    /// For the green threads of an exchange.
    pub(super) stack_size: Option<usize>,
    /// The settings of a request that has none of its own.
    pub(super) exchange: ExchangeSettings,
}

/// What a request can have settings of its own for. Durations that the clock cannot represent
/// stand for no limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExchangeSettings {
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    pub(super) continue_timeout: Duration,
    pub(super) max_redirects: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits {
                target: None,
                head: 64 * 1024,
                headers: 100,
                body: 64 * 1024 * 1024,
            },
            user_agent: Some(HeaderValue::from_static(concat!(
                "evy/",
                env!("CARGO_PKG_VERSION")
            ))),
            max_idle_per_host: 8,
            idle_timeout: Duration::from_secs(90),
            allows_redirects_to_http: false,
            stack_size: None,
            exchange: ExchangeSettings {
                timeout: Duration::from_secs(60),
                connect_timeout: Duration::from_secs(10),
                first_byte_timeout: Duration::MAX,
                continue_timeout: Duration::from_secs(1),
                max_redirects: 10,
            },
        }
    }
}

impl Settings {
    /// Returns a builder of a green thread with this name, for an exchange.
    pub(super) fn thread(&self, name: &str) -> Builder {
        let builder = Builder::new().name(name.into());
        match self.stack_size {
            Some(bytes) => builder.stack_size(bytes),
            None => builder,
        }
    }
}

impl ExchangeSettings {
    /// Returns these settings, or those that the extensions of a request replace them with.
    pub(super) fn for_request(mut self, extensions: &Extensions) -> Self {
        if let Some(options) = extensions.get::<RequestOptions>() {
            let replace = |own: &mut Duration, new: Option<Duration>| *own = new.unwrap_or(*own);
            replace(&mut self.timeout, options.timeout);
            replace(&mut self.connect_timeout, options.connect_timeout);
            replace(&mut self.first_byte_timeout, options.first_byte_timeout);
            replace(&mut self.continue_timeout, options.continue_timeout);
            self.max_redirects = options.max_redirects.unwrap_or(self.max_redirects);
        }
        self
    }
}

/// Settings of one request, which replace those of its client. It is an extension of the request.
///
/// # Examples
///
/// ```no_run
/// use evy::http::{Client, Request, RequestOptions};
/// use std::time::Duration;
///
/// let quick = RequestOptions::new().timeout(Duration::from_secs(2)).max_redirects(0);
/// let request = Request::get("http://example.com/").extension(quick).body(()).unwrap();
/// let response = Client::new().request(request)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct RequestOptions {
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    first_byte_timeout: Option<Duration>,
    continue_timeout: Option<Duration>,
    max_redirects: Option<u32>,
}

impl RequestOptions {
    /// Creates options that replace nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces [`ClientBuilder::timeout`](super::ClientBuilder::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Replaces [`ClientBuilder::connect_timeout`](super::ClientBuilder::connect_timeout).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Replaces [`ClientBuilder::first_byte_timeout`](super::ClientBuilder::first_byte_timeout).
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.first_byte_timeout = Some(timeout);
        self
    }

    /// Replaces [`ClientBuilder::continue_timeout`](super::ClientBuilder::continue_timeout).
    pub fn continue_timeout(mut self, timeout: Duration) -> Self {
        self.continue_timeout = Some(timeout);
        self
    }

    /// Replaces [`ClientBuilder::max_redirects`](super::ClientBuilder::max_redirects).
    pub fn max_redirects(mut self, redirects: u32) -> Self {
        self.max_redirects = Some(redirects);
        self
    }
}
