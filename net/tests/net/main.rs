//! Cooperative sockets.

mod conformance;
mod connect;
mod conversions;
mod copy;
mod peer;
mod server;
mod tcp;
mod udp;
mod unix;
