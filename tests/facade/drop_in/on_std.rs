//! The server, with std.

pub(crate) use std as base;

#[path = "server.rs"]
pub(crate) mod server;
