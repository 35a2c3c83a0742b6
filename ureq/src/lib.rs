//! The HTTP client [ureq] on evy's sockets: while it waits, the green thread is parked, and the
//! others run. The crate behind `evy::ureq`; programs use the crate `evy` with its feature `ureq`.
//!
//! [`agent`] gives what ureq has beyond `evy::http`: proxies, cookies, gzip, JSON, retries by
//! middleware. Everything about requests and responses is in the documentation of [ureq]. HTTPS is
//! done by ureq's own rustls. A program that also depends on ureq can enable more of its features,
//! such as `cookies` and `json`. It must not use `ureq::get` and `ureq::agent`, whose sockets block
//! the OS thread.
//!
//! A program that needs another chain of connectors builds it from the parts, as [`connector`]
//! shows. ureq may change the traits that they implement with each minor version, so this crate
//! requires one minor version of it.
//!
//! # What to know
//!
//! - An agent may be used on several OS threads, and so may its connections and bodies. A connection
//!   that is kept is reused on any of them.
//! - All timeouts of ureq apply. Where several addresses are tried, the attempts overlap, as in
//!   [`evy_net::connect`], and the connect timeout applies to all of them together.
//! - A green thread that is killed, or that an `evy::timeout` ends, closes its connection. The agent
//!   stays usable.
//! - ureq holds locks of std while it logs at the level `debug`, and while a program has its cookie
//!   jar. A logger of that level must not park, nor must a program that holds the jar.
//!
//! # Examples
//!
//! ```
//! use evy::http::{self, Response};
//!
//! let listener = evy::listen("127.0.0.1:0")?;
//! let url = format!("http://{}/", listener.local_addr()?);
//! evy::spawn_n(move || http::serve(listener, |_| Response::new("hello")).unwrap());
//!
//! let agent = evy::ureq::agent();
//! let page = agent.get(&url).call()?.body_mut().read_to_string()?;
//! assert_eq!(page, "hello");
//! # evy::shutdown(std::time::Duration::ZERO);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod connector;
mod deadline;
mod resolver;
mod socks;
mod transport;

pub use connector::{TcpConnector, connector};
pub use resolver::DnsResolver;
pub use socks::SocksConnector;
pub use transport::StreamTransport;
pub use ureq;

use ureq::Agent;
use ureq::config::Config;

/// Creates an agent with the default settings of ureq.
///
/// Like `ureq::agent`, it takes a proxy from the environment (`ALL_PROXY`, `HTTPS_PROXY`,
/// `HTTP_PROXY`). Its clones share connections and cookies.
///
/// # Examples
///
/// ```no_run
/// let agent = evy::ureq::agent();
/// let pool = evy::GreenPool::default();
/// let urls = ["https://example.com/", "https://example.org/"];
/// let fetch = move |url: &str| agent.get(url).call()?.body_mut().read_to_string();
/// for page in pool.imap(fetch, urls) {
///     println!("{} bytes", page?.len());
/// }
/// # Ok::<(), evy::ureq::ureq::Error>(())
/// ```
#[must_use]
pub fn agent() -> Agent {
    agent_with(Config::default())
}

/// Creates an agent with these settings.
///
/// # Examples
///
/// ```no_run
/// use evy::ureq::ureq::{Agent, Proxy};
/// use std::time::Duration;
///
/// let config = Agent::config_builder()
///     .timeout_global(Some(Duration::from_secs(10)))
///     .proxy(Some(Proxy::new("socks5://127.0.0.1:9050")?))
///     .build();
/// let agent = evy::ureq::agent_with(config);
/// let answer = agent.post("https://example.com/words").send("hello")?;
/// # Ok::<(), evy::ureq::ureq::Error>(())
/// ```
#[must_use]
pub fn agent_with(config: Config) -> Agent {
    Agent::with_parts(config, connector(), DnsResolver::new())
}
