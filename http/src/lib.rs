//! HTTP/1.1 for green threads, in blocking style: a client and a server on cooperative sockets. The
//! crate behind `evy::http`; programs use the crate `evy`.
//!
//! Requests and responses are the types of the crate [`http`]. Their bodies are [`Body`], which is
//! read like a file. Operations that wait park the green thread, never the OS thread.
//!
//! - [The client](#the-client): [`get`], [`Client`], [`RequestOptions`], [`ResponseExt`],
//!   [`Connector`]
//! - [The server](#the-server): [`serve`], [`serve_on`], [`Server`], [`IntoResponse`],
//!   [`StatusError`], [`Peer`], [`AccessLog`]
//! - [Bodies](#bodies): [`Body`]
//! - [HTTPS](#https)
//! - [Other protocols](#other-protocols): [`Upgrade`]
//! - [What is left to other crates](#what-is-left-to-other-crates)
//! - [Framing](#framing)
//!
//! # The client
//!
//! [`get`] is for a single request. A [`Client`] keeps its connections for further requests:
//!
//! ```
//! use evy::http::{Client, Request, RequestOptions, ResponseExt};
//! use std::time::Duration;
//! # let listener = evy::listen("127.0.0.1:0")?;
//! # let url = format!("http://{}/", listener.local_addr()?);
//! # evy::spawn_n(move || drop(evy::http::serve(listener, |_| "hello")));
//!
//! let client = Client::builder().timeout(Duration::from_secs(10)).build();
//! let page = client.get(&url)?.error_for_status()?.into_body().into_text()?;
//! assert_eq!(page, "hello");
//!
//! let options = RequestOptions::new().timeout(Duration::from_secs(2));
//! let request = Request::put(&url)
//!     .header("content-type", "application/json")
//!     .extension(options)
//!     .body(r#"{"name": "evy"}"#)?;
//! let response = client.request(request)?;
//! assert_eq!(response.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - A response with an error status is an error only after [`ResponseExt::error_for_status`].
//! - Redirects are followed, and timeouts are on by default: see [`ClientBuilder`].
//! - The response is read also while the request is sent, so an early answer is not lost.
//! - A [`Connector`] opens the connections in another way, for example to a Unix socket.
//!
//! # The server
//!
//! A handler is a closure that takes a request. It returns anything that is [`IntoResponse`]: text,
//! bytes, a [`StatusCode`], a [`Response`], or a `Result` of these. It runs on the green thread of
//! its connection, where it may wait for anything:
//!
//! ```
//! use evy::http::{Body, Method, Request, Server, StatusCode, StatusError};
//! use std::error::Error;
//! use std::time::Duration;
//!
//! fn answer(request: Request<Body>) -> Result<String, Box<dyn Error + Send + Sync>> {
//!     match (request.method(), request.uri().path()) {
//!         (&Method::GET, "/") => Ok("hello\n".into()),
//!         // An error of the body determines the status. Other errors are answered with 500.
//!         (&Method::POST, "/echo") => Ok(request.into_body().limit(10_000).into_text()?),
//!         _ => Err(StatusError::new(StatusCode::NOT_FOUND, "there is no such page").into()),
//!     }
//! }
//!
//! let listener = evy::listen("127.0.0.1:0")?;
//! let url = format!("http://{}/", listener.local_addr()?);
//! let server = Server::builder().on_error(|error| eprintln!("{error}")).build();
//! let handle = server.handle();
//! let serving = evy::spawn(move || server.serve(listener, answer));
//!
//! assert_eq!(evy::http::get(&url)?.into_body().into_text()?, "hello\n");
//! assert_eq!(handle.stop(Duration::from_secs(5)), 0);
//! serving.join().unwrap()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! - Sizes, times and the number of connections are limited by default: see [`ServerBuilder`].
//! - A [`ServerHandle`] stops the server in order. [`serve_on`] uses several OS threads.
//! - [`Server::serve`] takes any [`evy_net::Listener`]: TCP, Unix sockets, TLS, or one of the
//!   program. [`Server::serve_connection`] takes a single connection.
//! - The extensions of a request have a [`Peer`], with the addresses of its connection.
//! - Errors of handlers are logged by the crate `log`, or given to a callback: see
//!   [`ServerBuilder::on_error`].
//!
//! # Bodies
//!
//! A [`Body`] is made from text, bytes or `()` by `From`, from a file by [`Body::from_file`], from a
//! reader by [`Body::from_reader`] and [`Body::sized`], or from a closure that writes by
//! [`Body::from_writer`]. It is read by [`Body::into_text`], [`Body::into_bytes`], or as a
//! [`Read`](std::io::Read) and [`BufRead`](std::io::BufRead). So JSON is read by
//! `serde_json::from_reader(body)`, and events are read by `body.lines()`.
//!
//! An error of such a parser is an error of the handler: the server reports it, and answers with
//! 500. For a mistake of the client, the handler returns a [`StatusError`] with 400 instead. A body
//! that is too long or too slow is answered with 413 or 408 in both cases.
//!
//! Server-sent events are written by a closure. Each flush sends what was written:
//!
//! ```
//! use evy::http::{Body, Request, Response};
//! use std::io::Write;
//! use std::time::Duration;
//!
//! fn ticks(_request: Request<Body>) -> Response<Body> {
//!     let mut response = Response::new(Body::from_writer(|client| {
//!         for tick in 0.. {
//!             write!(client, "data: {tick}\n\n")?;
//!             client.flush()?;
//!             evy::sleep(Duration::from_secs(1));
//!         }
//!         Ok(())
//!     }));
//!     let headers = response.headers_mut();
//!     headers.insert("content-type", "text/event-stream".parse().unwrap());
//!     response
//! }
//! ```
//!
//! # HTTPS
//!
//! With the feature `tls` of `evy`, a client fetches `https` URLs, and verifies the server by the
//! roots of the system. `ClientBuilder::tls` sets other roots, or a certificate of the client. A
//! server runs over `evy::tls::Listener`; the example `https_server` shows it.
//!
//! # Other protocols
//!
//! [`Upgrade::response`] hands the connection over to a closure, and [`Upgrade::of`] to a client.
//! The example `chat` runs `WebSocket` connections by `tungstenite` on it.
//!
//! # What is left to other crates
//!
//! Routing, cookies, compression, forms, uploads and static files on the server are left to crates
//! that work on the types of `http`, such as `matchit`. The example `site` shows them together. For
//! proxies, cookies and compression on the client, `evy::ureq` runs the crate `ureq`.
//!
//! # Framing
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
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod body;
mod buffered;
mod client;
mod decoder;
mod error;
mod head;
mod head_scanner;
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
