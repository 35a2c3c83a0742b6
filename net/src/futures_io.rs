//! `AsyncRead` and `AsyncWrite` for the stream sockets, for futures inside of `block_on`.
//!
//! The timeouts of the socket do not apply: a future is limited by dropping it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use evy_runtime::io::Direction;
use futures_io::{AsyncRead, AsyncWrite};

use crate::tcp::TcpStream;
use crate::unix::UnixStream;

/// Implements the traits for a tuple struct that holds a [`Socket`](crate::socket::Socket), and for
/// references to it.
macro_rules! async_stream {
    ($($kind:ty),*) => {$(
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let io = self.0.io();
                io.poll_io(context, Direction::Read, |mut socket| socket.read(buf))
            }
        }

        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let io = self.0.io();
                io.poll_io(context, Direction::Write, |mut socket| socket.write(buf))
            }

            /// Does nothing, because nothing is buffered.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Ends the stream in the direction of the peer.
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.shutdown(Shutdown::Write))
            }
        }
    )*};
}

async_stream!(TcpStream, &TcpStream, UnixStream, &UnixStream);
