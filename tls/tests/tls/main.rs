//! TLS streams, and what goes wrong with them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod abort;
mod certificates;
mod conformance;
mod ends;
mod handshake;
mod https;
mod idle;
mod interrupted;
mod outside;
mod server;
mod split;
mod support;
mod truncation;
