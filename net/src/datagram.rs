//! The operations on datagrams, whatever their addresses are.
//!
//! Each datagram goes to one receiver, so any number of green threads may receive and send, in FIFO
//! order. A datagram may be empty, so an empty buffer is no reason to return at once.

use std::io;
use std::os::fd::AsFd;

use evy_runtime::io::Sharing;
use rustix::net::RecvFlags;

use crate::socket::{NO_SIGNAL, Socket};

impl<T: AsFd> Socket<T> {
    /// Receives one datagram, and cuts off what the buffer has no room for.
    pub(crate) fn recv(&self, buf: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        self.recv_with(|socket| {
            let (len, _) = rustix::net::recv(socket, &mut *buf, flags)?;
            Ok(len)
        })
    }

    /// Receives by `op`, which calls a method of std's socket.
    pub(crate) fn recv_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.read_with(Sharing::Shared, op, |_| false)
    }

    /// Sends one datagram to the peer that the socket is connected to.
    pub(crate) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.send_with(|socket| Ok(rustix::net::send(socket, buf, NO_SIGNAL)?))
    }

    /// Sends by `op`, which calls a method of std's socket.
    pub(crate) fn send_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.write_with(Sharing::Shared, op, |_| false)
    }
}
