//! TCP with std's names, signatures and traits.

mod connect;
mod listener;
mod stream;

pub(crate) use listener::BACKLOG;
pub use listener::{Incoming, TcpListener, listen};
pub use stream::{TcpStream, connect, connect_timeout};
