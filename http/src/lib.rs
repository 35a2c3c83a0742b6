//! HTTP/1.1 for green threads, in blocking style: a client and a server on cooperative sockets. The
//! crate behind `evy::http`; programs use the crate `evy`.
//!
//! Requests and responses are the types of the crate [`http`]. Their bodies are [`Body`], which is
//! read like a file. Operations that wait park the green thread, never the OS thread.
//!
//! A client keeps its connections, follows redirects, and speaks `https` with the feature `tls`. It
//! connects by TCP, or by a [`Connector`] of the program. It reads the response also while it sends
//! the request.
//!
//! A server runs over any transport that implements [`evy_net::Listener`]. It limits sizes, times
//! and connections by itself, and stops in order. Routing, cookies, compression, forms and files
//! are left to other crates, such as `matchit`, which work on the types of `http`. The example `site`
//! shows them together.
//!
//! Framing is strict in both directions. A message that two readers could interpret differently is
//! rejected, not repaired. That applies to a `Content-Length` beside `Transfer-Encoding`, or twice,
//! and to any transfer coding but `chunked`. It also applies to folded lines, bare CR or LF, spaces
//! before a colon and malformed chunk sizes and trailers. The server answers with a status that says
//! what is wrong, usually 400, and closes the connection; the client fails with `InvalidData`.
//!
//! Invariants that both sides rely on:
//! - `[framed]`: a connection carries another message only if the message before was read to its
//!   end (`decoder` knows the end; `server` and `client` keep the rule).
//! - `[one-deadline]`: where a deadline applies to a whole message, each read and write gets only
//!   the time that is left. A peer that sends one byte at a time therefore gains no time
//!   (`buffered`). On the server, a body has a minimum rate instead, and so has a response (`pace`).
//!
//! # Examples
//!
//! ```no_run
//! let page = evy::http::get("http://example.com/")?.into_body().into_text()?;
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod body;
mod buffered;
mod client;
mod decoder;
mod error;
mod head;
mod host;
mod limits;
mod pace;
mod path;
mod server;
mod upgrade;

#[cfg(test)]
use evy_test_support::mock_stream;

pub use body::Body;
pub use client::{
    Client, ClientBuilder, Connector, Destination, RequestOptions, ResponseExt, UnexpectedStatus,
    get,
};
pub use http::{
    Error, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header,
};
pub use path::decoded_path;
pub use server::{
    AccessLog, AccessRecord, IntoResponse, Peer, Server, ServerBuilder, ServerHandle, StatusError,
    serve, serve_on,
};
pub use upgrade::{Upgrade, Upgraded};
