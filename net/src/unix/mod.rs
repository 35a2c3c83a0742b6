//! Unix sockets with the names, signatures and traits of [`std::os::unix::net`]. Programs use
//! `evy::os::unix::net`.

mod connect;
mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
