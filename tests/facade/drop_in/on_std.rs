//! The server on std.

pub(crate) use std as base;

#[path = "server.rs"]
pub(crate) mod server;
