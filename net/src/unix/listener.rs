//! `UnixListener`.

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use evy_runtime::lowlevel::charge;

use super::stream::UnixStream;
use crate::convert::conversions;
use crate::methods::{forward, listener, socket};
use crate::socket::Socket;

/// A Unix socket that accepts connections, like [`std::os::unix::net::UnixListener`].
///
/// Several green threads may accept at the same time. They are served in FIFO order. Only
/// [`accept`](Self::accept) and [`Incoming`] park.
///
/// As in std, the file of the socket is created by [`bind`](Self::bind), and stays when the
/// listener is dropped.
///
/// # Examples
///
/// ```
/// use evy::os::unix::net::{UnixListener, UnixStream};
/// use std::io::{Read, Write};
///
/// # let path = std::env::temp_dir().join(format!("evy-doc-{}.sock", std::process::id()));
/// let server = UnixListener::bind(&path)?;
/// let mut client = UnixStream::connect(&path)?;
/// evy::spawn_n(move || {
///     let (mut stream, _) = server.accept().unwrap();
///     stream.write_all(b"hello").unwrap();
/// });
/// let mut text = String::new();
/// client.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener(Socket<std::os::unix::net::UnixListener>);

impl UnixListener {
    /// Creates a socket that listens at `path`, where it creates a file.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, such as `AddrInUse` if the path exists, and `InvalidInput`
    /// if it is too long or contains a NUL.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        charge();
        Self::wrap(std::os::unix::net::UnixListener::bind(path)?)
    }

    /// Creates a socket that listens at `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<Self> {
        charge();
        Self::wrap(std::os::unix::net::UnixListener::bind_addr(socket_addr)?)
    }
}

forward! { UnixListener:
    /// Returns the address that the socket listens at.
    local_addr() -> SocketAddr;
}

socket!(UnixListener);
conversions!(UnixListener, std::os::unix::net::UnixListener);
listener!(UnixListener: UnixStream, SocketAddr, std::os::unix::net::UnixListener);

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}
