//! `listen` and `connect`: sockets from addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use evy_runtime::io::{Direction, Green, Sharing, Timeout};
use evy_runtime::lowlevel::now;
use socket2::{Domain, Protocol, Socket, Type};

use crate::addr::ToSocketAddrs;
use crate::tcp::{TcpListener, TcpStream};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket that listens at `addr`, with `SO_REUSEADDR`: a server can be restarted at once.
///
/// Parks only to resolve a name. Of several addresses the first that can be bound is taken.
///
/// # Errors
///
/// The system's, of the last address tried; `InvalidInput` if there is none.
///
/// # Examples
///
/// ```
/// let server = evy_net::listen("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// evy_runtime::spawn_n(move || drop(evy_net::connect(addr)));
/// let (_client, _addr) = server.accept()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn listen<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
    each_addr(addr, |addr| {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::new(Green::from_non_blocking(socket.into())))
    })
}

/// A connection to `addr`. Parks until it is established.
///
/// Of several addresses each is tried in turn.
///
/// # Errors
///
/// The system's, of the last address tried: `ConnectionRefused` and others; `InvalidInput` if there
/// is none.
pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
    each_addr(addr, |addr| connect_addr(addr, Timeout::Never))
}

/// As [`connect`], giving up when `timeout` has passed, over all addresses together.
///
/// # Errors
///
/// `TimedOut`, and those of `connect`; `InvalidInput` for a timeout of zero.
pub fn connect_timeout<A: ToSocketAddrs>(addr: A, timeout: Duration) -> io::Result<TcpStream> {
    check_nonzero(timeout)?;
    let timeout = timeout_from_now(timeout);
    each_addr(addr, |addr| connect_addr(addr, timeout))
}

/// Starts a connection and waits for it.
pub(crate) fn connect_addr(addr: SocketAddr, timeout: Timeout) -> io::Result<TcpStream> {
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
            if std::mem::take(&mut pending) {
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
    Ok(TcpStream::new(stream))
}

/// std refuses it too: zero could mean "at once" or "never".
pub(crate) fn check_nonzero(timeout: Duration) -> io::Result<()> {
    if timeout.is_zero() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a timeout of zero makes no sense",
        ));
    }
    Ok(())
}

/// One deadline for several waits.
fn timeout_from_now(timeout: Duration) -> Timeout {
    now()
        .checked_add(timeout)
        .map_or(Timeout::Never, Timeout::At)
}

fn each_addr<T>(
    addr: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match attempt(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try");
    Err(last.unwrap_or_else(none))
}
