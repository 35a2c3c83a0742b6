//! Cooperative sockets.

mod conformance;
mod connect;
#[cfg(feature = "futures-io")]
mod futures_io;
mod server;
mod tcp;
