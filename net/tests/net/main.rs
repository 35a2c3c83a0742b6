//! Cooperative sockets.

mod conformance;
mod tcp;
