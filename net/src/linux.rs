//! Extensions for Linux, like those of [`std::os::linux::net`]. Programs use
//! `evy::os::linux::net`.

use std::io;

use crate::tcp::TcpStream;

/// Options of a [`TcpStream`] that only Linux has, like [`std::os::linux::net::TcpStreamExt`].
///
/// # Examples
///
/// ```
/// use evy::os::linux::net::TcpStreamExt;
///
/// let server = evy::listen("127.0.0.1:0")?;
/// let stream = evy::connect(server.local_addr()?)?;
/// stream.set_quickack(true)?;
/// assert!(stream.quickack()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait TcpStreamExt: sealed::Sealed {
    /// Sets whether received data is acknowledged at once (`TCP_QUICKACK`). Linux may reset it
    /// later.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    fn set_quickack(&self, quickack: bool) -> io::Result<()>;

    /// Returns whether received data is acknowledged at once.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    fn quickack(&self) -> io::Result<bool>;
}

impl TcpStreamExt for TcpStream {
    fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_tcp_quickack(self, quickack)?)
    }

    fn quickack(&self) -> io::Result<bool> {
        Ok(rustix::net::sockopt::tcp_quickack(self)?)
    }
}

/// The supertrait, as in std: only this crate implements the extensions.
mod sealed {
    #[expect(unnameable_types, reason = "a program cannot implement it")]
    pub trait Sealed {}
    impl Sealed for crate::tcp::TcpStream {}
}
