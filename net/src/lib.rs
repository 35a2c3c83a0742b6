//! Cooperative sockets in the shape of [`std::net`]. The crate behind `evy::net`; programs use the
//! crate `evy`.
//!
//! A socket operation that would block parks the green thread; the OS thread continues with others.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod accept_error;
mod addr;
mod convert;
mod dns;
#[cfg(feature = "futures-io")]
mod futures_io;
mod listener;
mod on_error;
mod server;
mod socket;
mod stream;
mod tcp;

pub use addr::ToSocketAddrs;
pub use listener::Listener;
pub use server::{HandlerResult, Server, ServerHandle, serve};
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};
pub use stream::Stream;
pub use tcp::{Incoming, TcpListener, TcpStream, connect, connect_timeout, listen};
