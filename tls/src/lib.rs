//! TLS for evy's green threads, over any [`Stream`](evy_net::Stream), by rustls. The crate behind
//! `evy::tls`; programs use the crate `evy` with its feature `tls`.
//!
//! A client needs a [`Connector`], a server an [`Acceptor`] and usually a [`Listener`]. Both give a
//! [`Stream`], which is read and written like any other, and can be [`split`](Stream::split).
//!
//! - Peers are verified, and TLS 1.2 is the oldest version. Whatever these types do not offer can
//!   be configured with [`rustls`], which is re-exported, and passed to `From`.
//! - Sessions are resumed between the streams of one connector, and of one acceptor.
//! - The end of a stream is reported only if the peer has announced it. If the peer just closes the
//!   connection, reading fails with `UnexpectedEof`, because the data may have been truncated.
//! - An error of rustls becomes an error of kind `InvalidData`, and its source is the
//!   [`rustls::Error`].
//!
//! # Cryptography
//!
//! A provider that the program has installed as the default of rustls is used. Otherwise it is
//! `aws-lc-rs` with the feature `tls-aws-lc-rs`, and `ring` with the feature `tls`.
//!
//! # Examples
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! let tcp = evy::connect("example.org:443")?;
//! let mut stream = evy::tls::connect("example.org", tcp)?;
//! stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
//! let mut page = String::new();
//! stream.read_to_string(&mut page)?;
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("evy-tls needs a provider of cryptography: the feature `ring` or `aws-lc-rs`");

mod acceptor;
mod connector;
mod error;
mod handshake;
mod identity;
mod incoming;
mod listener;
mod outgoing;
mod provider;
mod resolver;
mod roots;
mod session;
mod shared;
mod split;
mod stream;
mod timeout;

pub use acceptor::{Acceptor, AcceptorBuilder, accept};
pub use connector::{Connector, ConnectorBuilder, connect};
pub use identity::Identity;
pub use listener::Listener;
pub use rustls;
pub use session::Session;
pub use split::{ReadHalf, WriteHalf};
pub use stream::Stream;
