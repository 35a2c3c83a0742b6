//! The server, with evy.

pub(crate) use evy as base;

#[path = "server.rs"]
pub(crate) mod server;
