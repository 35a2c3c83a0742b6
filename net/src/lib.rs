//! Cooperative sockets in the shape of [`std::net`], and HTTP/1.1 on top: the crate below
//! `evy::net` and `evy::http`. Programs use the crate `evy`.
//!
//! A socket operation that would block parks the green thread; the OS thread goes on with others.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod addr;
mod dns;
mod listen;
mod serve;
mod tcp;

#[cfg(feature = "http")]
pub mod http;

pub use addr::ToSocketAddrs;
pub use listen::{connect, connect_timeout, listen};
pub use serve::{HandlerResult, Server, ServerHandle, serve};
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};
pub use tcp::{Incoming, TcpListener, TcpStream};
