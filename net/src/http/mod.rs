//! HTTP/1.1, client and server, in blocking style: heads by `httparse`, types of the crate `http`.
//!
//! One green thread serves one connection, one request after the other; a body is read and written
//! as it comes, through `Read`. Framing is strict both ways: a message that could be read in two
//! ways is refused, and its connection closed.
//!
//! Not here yet: redirects, TLS, upgrades.

mod body;
mod client;
mod conn;
mod framing;
mod head;
mod server;

pub use body::Body;
pub use client::{Client, ClientBuilder, get};
pub use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};
pub use server::{IntoResponse, Server, serve};
