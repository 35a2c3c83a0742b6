//! TCP with std's names, signatures and traits.

mod convert;
mod listener;
mod stream;

pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;
