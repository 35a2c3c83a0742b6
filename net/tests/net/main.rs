//! Cooperative sockets.

mod conformance;
mod connect;
mod server;
mod tcp;
