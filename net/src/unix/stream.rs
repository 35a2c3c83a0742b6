//! `UnixStream`.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use evy_runtime::lowlevel::charge;

use super::connect::connect;
use crate::convert::conversions;
use crate::methods::{byte_stream, forward, socket, timeouts};
use crate::socket::{Socket, StdStream};

/// A connection of Unix sockets, like [`std::os::unix::net::UnixStream`]: its reads and writes park
/// the green thread instead of blocking the OS thread.
///
/// One green thread may read while another one writes. A second reader or a second writer at the
/// same time gets an error of kind `ResourceBusy`, because neither could know which bytes were
/// meant for it.
///
/// A stream may be used from any OS thread. It is fastest on the one that waits for it first.
///
/// Besides `Read` and `Write`, only [`connect`](Self::connect) and
/// [`connect_addr`](Self::connect_addr) park.
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
/// use evy::os::unix::net::UnixStream;
/// use std::io::{Read, Write};
///
/// let (mut parent, mut child) = UnixStream::pair()?;
/// evy::spawn_n(move || child.write_all(b"hello").unwrap());
/// let mut text = String::new();
/// parent.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream(pub(crate) Socket<std::os::unix::net::UnixStream>);

impl UnixStream {
    /// Opens a connection to the socket at `path`.
    ///
    /// Parks while the backlog of the listener is full.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, such as `NotFound` or `ConnectionRefused`, and
    /// `InvalidInput` if the path is too long or contains a NUL.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        let path = path.as_ref();
        connect(|socket| socket.connect(path)).map(Self::from_connected)
    }

    /// Opens a connection to the socket at `socket_addr`, which may be an abstract name.
    ///
    /// Parks while the backlog of the listener is full.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # {
    /// use evy::os::linux::net::SocketAddrExt;
    /// use evy::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    ///
    /// let name = format!("evy-example-{}", std::process::id());
    /// let addr = SocketAddr::from_abstract_name(name)?;
    /// let server = UnixListener::bind_addr(&addr)?;
    /// let client = UnixStream::connect_addr(&addr)?;
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<Self> {
        connect(|socket| socket.connect_addr(socket_addr)).map(Self::from_connected)
    }

    fn from_connected(stream: std::os::unix::net::UnixStream) -> Self {
        Self(Socket::from_non_blocking(stream))
    }

    /// Creates two streams that are connected to each other and have no address.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn pair() -> io::Result<(Self, Self)> {
        charge();
        let (a, b) = std::os::unix::net::UnixStream::pair()?;
        Ok((Self::wrap(a)?, Self::wrap(b)?))
    }
}

forward! { UnixStream:
    /// Shuts down one direction or both, for all handles. A parked reader wakes.
    shutdown(how: Shutdown) -> ();
    /// Returns the address of this end.
    local_addr() -> SocketAddr;
    /// Returns the address of the other end.
    peer_addr() -> SocketAddr;
}

socket!(UnixStream);
conversions!(UnixStream, std::os::unix::net::UnixStream);
timeouts!(UnixStream);
byte_stream! { UnixStream {} }

impl StdStream for std::os::unix::net::UnixStream {
    const IS_TCP: bool = false;
}
