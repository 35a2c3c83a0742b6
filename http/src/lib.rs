//! HTTP/1.1 in blocking style: a client and a server on cooperative sockets.
//!
//! Requests and responses are those of the crate `http`; what they carry is a [`Body`], which is
//! read like a file. A wait parks the green thread that waits, never the OS thread.
//!
//! Framing is strict in both directions. What two readers could take for different messages is
//! refused, not repaired: `Content-Length` beside `Transfer-Encoding` or twice, any transfer coding
//! but `chunked`, folded lines, bare CR or LF, spaces before a colon, sloppy chunk sizes. The server
//! answers 400 and closes; the client fails with `InvalidData`. There are no redirects, no cookies,
//! no compression and no TLS.
//!
//! Invariants, relied upon by both sides:
//! - `[framed]`: a connection serves another message only if the one before was read to its end
//!   (`framing` says when, `conn` and `client` obey).
//! - `[one-deadline]`: each read and write is told how much of its deadline is left, so that a peer
//!   which sends a byte at a time gains nothing (`wire`).
//!
//! # Examples
//!
//! ```no_run
//! use evy_net::http;
//!
//! let page = http::get("http://example.com/")?.into_body().into_text()?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod body;
mod buffered;
mod client;
mod connection;
mod decoder;
mod head;
mod idle;
mod server;

pub use self::body::Body;
pub use self::client::{Client, ClientBuilder, get};
pub use self::server::{IntoResponse, Server, ServerBuilder, serve};
pub use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};
