//! `AsyncRead` and `AsyncWrite` for `Green` descriptors and pipes, for futures inside of `block_on`.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::green::Green;
use super::operation::Operation;
use super::pipe::{PipeReader, PipeWriter};
use super::read_write::{try_read, try_write};
use crate::reactor::Direction;

fn poll_read<I: AsFd + Read>(
    operation: &Operation,
    inner: &mut I,
    context: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    operation.poll(context, inner, Direction::Read, |inner| {
        try_read(operation, inner, buf)
    })
}

fn poll_write<I: AsFd + Write>(
    operation: &Operation,
    inner: &mut I,
    context: &mut Context<'_>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    operation.poll(context, inner, Direction::Write, |inner| {
        try_write(operation, inner, buf)
    })
}

impl<T: AsFd> AsyncRead for &Green<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_read(self.operation(), &mut self.inner(), context, buf)
    }
}

impl<T: AsFd + Read + Unpin> AsyncRead for Green<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (operation, inner) = self.parts_mut();
        poll_read(operation, inner, context, buf)
    }
}

/// Implements the rest of [`AsyncWrite`]. Nothing is buffered, and nothing but dropping the value
/// closes it.
macro_rules! flush_and_close {
    () => {
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    };
}

impl<T: AsFd> AsyncWrite for &Green<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll_write(self.operation(), &mut self.inner(), context, buf)
    }

    flush_and_close!();
}

impl<T: AsFd + Write + Unpin> AsyncWrite for Green<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (operation, inner) = self.parts_mut();
        poll_write(operation, inner, context, buf)
    }

    flush_and_close!();
}

impl AsyncRead for &PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.green()).poll_read(context, buf)
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.green()).poll_read(context, buf)
    }
}

impl AsyncWrite for &PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.green()).poll_write(context, buf)
    }

    flush_and_close!();
}

impl AsyncWrite for PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.green()).poll_write(context, buf)
    }

    flush_and_close!();
}
