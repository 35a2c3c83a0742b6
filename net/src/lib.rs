//! Cooperative sockets in the shape of [`std::net`]. The crate behind `evy::net`; programs use the
//! crate `evy`.
//!
//! A socket operation that would block parks the green thread; the OS thread continues with others.
#![deny(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod accept_error;
mod addr;
mod convert;
mod copy;
mod datagram;
mod dns;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(target_os = "linux")]
pub mod linux;
mod listener;
mod methods;
mod on_error;
mod raw;
mod retry;
mod server;
mod socket;
mod stream;
mod tcp;
mod timeouts;
mod udp;
pub mod unix;
mod workers;

pub use addr::ToSocketAddrs;
pub use copy::{CopyError, copy, copy_bidirectional};
pub use listener::Listener;
pub use server::{HandlerResult, Server, ServerHandle, serve};
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};
pub use stream::{Duplex, Stream};
pub use tcp::{Incoming, TcpListener, TcpStream, connect, connect_timeout, listen};
pub use udp::UdpSocket;
pub use workers::{
    Service, Serving, Stopped, Worker, WorkerListeners, Workers, WorkersBuilder, WorkersHandle,
    run_service, serve_each, serve_on,
};
