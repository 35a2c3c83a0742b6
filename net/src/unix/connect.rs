//! Establishing a connection of Unix sockets.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use evy_runtime::io::{Green, Timeout};
use evy_runtime::lowlevel::charge;
use socket2::{Domain, Socket, Type};

use crate::retry::retry;

/// Opens a connection by `connect`, which calls one of the methods of that name.
///
/// Of std's types, only the datagram socket has methods that connect an existing descriptor. They
/// work for a stream just as well.
///
/// Parks while the backlog of the listener is full.
///
/// # Errors
///
/// Returns the error of the system.
pub(super) fn connect(
    connect: impl FnMut(&UnixDatagram) -> io::Result<()>,
) -> io::Result<UnixStream> {
    charge();
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let socket = Green::from_non_blocking(UnixDatagram::from(OwnedFd::from(socket)));
    retry(&socket, Timeout::Never, connect)?;
    Ok(OwnedFd::from(socket.into_inner()).into())
}
