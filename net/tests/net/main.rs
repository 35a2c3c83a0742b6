//! Cooperative sockets.

mod conformance;
mod connect;
mod conversions;
mod copy;
mod fairness;
#[cfg(feature = "futures-io")]
mod futures_io;
mod peer;
mod server;
mod tcp;
mod udp;
mod unix;
mod workers;
