//! `Outgoing`: sends what rustls has encrypted, in the order in which it has encrypted it.
//!
//! What a write could not send, because it timed out or was interrupted, is sent before anything
//! else is encrypted.

use std::io;

use evy_runtime::sync::MutexGuard;
use rustls::Connection;

use crate::shared::Shared;
use crate::timeout::Deadline;

/// The sending side of a stream.
///
/// It is consistent whenever a write parks, so a kill or a timeout loses nothing.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// The bytes that were taken out of rustls: `buf[sent..]` are still to be sent.
    buf: Vec<u8>,
    sent: usize,
    /// Whether a write has left something to be sent.
    pub(crate) has_left: bool,
}

impl Outgoing {
    /// Sends what earlier writes have left.
    ///
    /// Parks until the transport has taken it.
    #[inline]
    pub(crate) fn send_left(
        &mut self,
        shared: &Shared,
        io: &mut impl evy_net::Stream,
        deadline: Deadline,
    ) -> io::Result<()> {
        match self.has_left {
            true => self.send(shared, shared.connection(), io, deadline),
            false => Ok(()),
        }
    }

    /// Sends everything that rustls wants to send.
    ///
    /// While there are other handles, the bytes are copied out of rustls first, because a reader
    /// must not wait for the connection while this writer waits for the peer.
    ///
    /// Parks until the transport has taken it.
    pub(crate) fn send(
        &mut self,
        shared: &Shared,
        mut connection: MutexGuard<'_, Connection>,
        io: &mut impl evy_net::Stream,
        deadline: Deadline,
    ) -> io::Result<()> {
        if !connection.wants_write() && !self.has_left {
            return Ok(());
        }
        self.has_left = true;
        if shared.has_other_handles() {
            while connection.wants_write() {
                connection.write_tls(&mut self.buf)?;
            }
            drop(connection);
            self.send_buffer(io, deadline)?;
        } else {
            self.send_buffer(io, deadline)?;
            while connection.wants_write() {
                attempt(io, deadline, |io| connection.write_tls(io))?;
            }
        }
        // A transport such as another TLS stream may have more to do.
        io.flush()?;
        self.has_left = false;
        Ok(())
    }

    /// Sends bytes that are not of rustls.
    pub(crate) fn send_plain(
        &mut self,
        bytes: &[u8],
        io: &mut impl evy_net::Stream,
    ) -> io::Result<()> {
        self.buf.extend_from_slice(bytes);
        self.send_buffer(io, Deadline::NEVER)
    }

    fn send_buffer(&mut self, io: &mut impl evy_net::Stream, deadline: Deadline) -> io::Result<()> {
        while self.sent < self.buf.len() {
            self.sent += attempt(io, deadline, |io| io.write(&self.buf[self.sent..]))?;
        }
        // An idle stream should keep no memory for this.
        (self.buf, self.sent) = (Vec::new(), 0);
        Ok(())
    }
}

/// Writes something to the transport.
fn attempt<S: evy_net::Stream>(
    io: &mut S,
    deadline: Deadline,
    mut write: impl FnMut(&mut S) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        deadline.apply(|left| io.set_write_timeout(left))?;
        match write(io) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
