//! `UnixDatagram`.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use evy_runtime::lowlevel::charge;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::convert::conversions;
use crate::methods::{forward, socket, timeouts};
use crate::socket::Socket;

/// A Unix datagram socket, like [`std::os::unix::net::UnixDatagram`]: its operations park the green
/// thread instead of blocking the OS thread.
///
/// Any number of green threads may receive at the same time. Each datagram goes to one of them, in
/// FIFO order.
///
/// A socket may be used from any OS thread. It is fastest on the one that waits for it first.
///
/// Only the methods that receive and send park.
///
/// # Differences from std
///
/// - When a read or write timeout passes, the error is of kind `TimedOut`; std returns
///   `WouldBlock`.
/// - `try_clone` duplicates no descriptor.
///
/// # Examples
///
/// ```
/// use evy::os::unix::net::UnixDatagram;
///
/// let (a, b) = UnixDatagram::pair()?;
/// evy::spawn_n(move || drop(a.send(b"one message").unwrap()));
/// let mut buf = [0; 100];
/// let len = b.recv(&mut buf)?;
/// assert_eq!(&buf[..len], b"one message");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram(Socket<std::os::unix::net::UnixDatagram>);

impl UnixDatagram {
    /// Creates a socket that is bound to `path`, where it creates a file.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, such as `AddrInUse` if the path exists, and `InvalidInput`
    /// if it is too long or contains a NUL.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        charge();
        Self::wrap(std::os::unix::net::UnixDatagram::bind(path)?)
    }

    /// Creates a socket that is bound to `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<Self> {
        charge();
        Self::wrap(std::os::unix::net::UnixDatagram::bind_addr(socket_addr)?)
    }

    /// Creates a socket without an address.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn unbound() -> io::Result<Self> {
        charge();
        Self::wrap(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Creates two sockets that are connected to each other and have no address.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn pair() -> io::Result<(Self, Self)> {
        charge();
        let (a, b) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((Self::wrap(a)?, Self::wrap(b)?))
    }

    /// Connects the socket to the one at `path`: it sends there, and receives only from there.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, and `InvalidInput` if the path is too long or contains a
    /// NUL.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        charge();
        self.0.std().connect(path)
    }

    /// Connects the socket to the one at `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        charge();
        self.0.std().connect_addr(socket_addr)
    }

    /// Receives one datagram, and returns its length and its sender. What the buffer has no room
    /// for is cut off.
    ///
    /// Parks until there is a datagram.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` after a read timeout, and the error of the system.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let unnamed = || SocketAddr::from_pathname("");
        self.recv_with(|socket| socket.recv_from(buf), || Ok((0, unnamed()?)))
    }

    /// Receives one datagram, and returns its length. What the buffer has no room for is cut off.
    ///
    /// Parks until there is a datagram.
    ///
    /// # Errors
    ///
    /// Returns an error as [`recv_from`](Self::recv_from) does.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv_with(|socket| socket.recv(buf), || Ok(0))
    }

    /// Receives by `op`, or returns `nothing` if the socket was shut down for reading.
    ///
    /// A blocking socket receives 0 bytes then, but Linux has a non-blocking one fail as if a
    /// datagram could still come.
    fn recv_with<R>(
        &self,
        mut op: impl FnMut(&std::os::unix::net::UnixDatagram) -> io::Result<R>,
        nothing: impl Fn() -> io::Result<R>,
    ) -> io::Result<R> {
        self.0.recv_with(|socket| match op(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && is_shut_down(socket) => {
                nothing()
            }
            received => received,
        })
    }

    /// Sends `buf` as one datagram to the socket at `path`.
    ///
    /// Parks until there is room in the queue of the receiver.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` after a write timeout, the error of the system, and `InvalidInput` if the
    /// path is too long or contains a NUL.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        let path = path.as_ref();
        self.0
            .write_with_retries(|socket| socket.send_to(buf, path))
    }

    /// Sends `buf` as one datagram to the socket at `socket_addr`, which may be an abstract name.
    ///
    /// Parks until there is room in the queue of the receiver.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` after a write timeout, and the error of the system.
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        self.0
            .write_with_retries(|socket| socket.send_to_addr(buf, socket_addr))
    }

    /// Sends `buf` as one datagram to the socket that this one is connected to.
    ///
    /// Parks until there is room in the queue of the receiver.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` after a write timeout, and the error of the system.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(buf)
    }
}

forward! { UnixDatagram:
    /// Returns the address that the socket is bound to.
    local_addr() -> SocketAddr;
    /// Returns the address that the socket is connected to.
    peer_addr() -> SocketAddr;
    /// Shuts down one direction or both, for all handles. A parked receiver wakes.
    shutdown(how: Shutdown) -> ();
}

socket!(UnixDatagram);
conversions!(UnixDatagram, std::os::unix::net::UnixDatagram);
timeouts!(UnixDatagram);

#[cfg(any(target_os = "linux", target_os = "android"))]
const SHUT_DOWN: PollFlags = PollFlags::RDHUP;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SHUT_DOWN: PollFlags = PollFlags::empty();

/// Whether the socket was shut down for reading.
fn is_shut_down(socket: &std::os::unix::net::UnixDatagram) -> bool {
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut socket = [PollFd::new(socket, SHUT_DOWN)];
    poll(&mut socket, Some(&at_once)).is_ok() && socket[0].revents().intersects(SHUT_DOWN)
}
