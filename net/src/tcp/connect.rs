//! Establishing a TCP connection without blocking.

use std::io;
use std::mem;
use std::net::SocketAddr;

use evy_runtime::io::{Direction, Green, Sharing, Timeout};
use socket2::{Domain, Protocol, Socket, Type};

/// Starts a connection to `addr` and waits until it is established.
pub(super) fn connect_addr(
    addr: SocketAddr,
    timeout: Timeout,
) -> io::Result<Green<std::net::TcpStream>> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    let mut pending = match socket.connect(&addr.into()) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => true,
        Err(error) => return Err(error),
    };
    let stream = Green::from_non_blocking(std::net::TcpStream::from(socket));
    stream.with_io(
        Direction::Write,
        Sharing::Exclusive,
        timeout,
        |stream| {
            if mem::take(&mut pending) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match stream.take_error()? {
                Some(error) => Err(error),
                None => match stream.peer_addr() {
                    // Woken, but not connected yet.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                    other => other.map(drop),
                },
            }
        },
        |()| false,
    )?;
    Ok(stream)
}
