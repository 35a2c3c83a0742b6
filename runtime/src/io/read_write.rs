//! `Read` and `Write` for a `Green` descriptor, where the wrapped type has them.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;

use super::green::Green;
use super::operation::Operation;
use super::shared;
use super::timeout::{Sharing, Timeout};
use crate::reactor::Direction;
use crate::thread;

/// The most bytes that one system call moves: 2 GiB less one page, of at most 64 KiB. A longer
/// request is never completed, so a short result shows nothing.
const MAX_BYTES: usize = 0x7fff_0000;

/// The error of std for what cannot be read as text.
pub(crate) fn not_utf8() -> io::Error {
    let message = "stream did not contain valid UTF-8";
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Reads once. Never blocks, whatever the mode of the descriptor.
#[inline]
pub(super) fn try_read<I: AsFd + Read>(
    operation: &Operation,
    inner: &mut I,
    buf: &mut [u8],
) -> io::Result<usize> {
    match operation.is_shared() {
        false => inner.read(buf),
        true => shared::read(inner.as_fd(), buf),
    }
}

/// Writes once. Never blocks, whatever the mode of the descriptor.
#[inline]
pub(super) fn try_write<I: AsFd + Write>(
    operation: &Operation,
    inner: &mut I,
    buf: &[u8],
) -> io::Result<usize> {
    match operation.is_shared() {
        false => inner.write(buf),
        true => shared::write(inner.as_fd(), buf),
    }
}

pub(super) fn read<I: AsFd + Read>(
    operation: &Operation,
    inner: &mut I,
    sharing: Sharing,
    buf: &mut [u8],
) -> io::Result<usize> {
    let len = buf.len();
    if len == 0 {
        thread::charge(|| false);
        return Ok(0);
    }
    operation.run(
        inner,
        Direction::Read,
        sharing,
        Timeout::Never,
        |inner| try_read(operation, inner, buf),
        |inner, n| (1..len.min(MAX_BYTES)).contains(n) && operation.is_tcp(inner.as_fd()),
    )
}

/// A short result shows nothing here, because `inner` may read into the first buffer only.
pub(super) fn read_vectored<I: AsFd + Read>(
    operation: &Operation,
    inner: &mut I,
    sharing: Sharing,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let first = bufs.iter_mut().position(|buf| !buf.is_empty());
    let Some(first) = first else {
        thread::charge(|| false);
        return Ok(0);
    };
    operation.run(
        inner,
        Direction::Read,
        sharing,
        Timeout::Never,
        |inner| match operation.is_shared() {
            false => inner.read_vectored(bufs),
            true => shared::read(inner.as_fd(), &mut bufs[first]),
        },
        |_, _| false,
    )
}

pub(super) fn write<I: AsFd + Write>(
    operation: &Operation,
    inner: &mut I,
    sharing: Sharing,
    buf: &[u8],
) -> io::Result<usize> {
    operation.run(
        inner,
        Direction::Write,
        sharing,
        Timeout::Never,
        |inner| try_write(operation, inner, buf),
        |inner, n| *n < buf.len().min(MAX_BYTES) && operation.is_tcp(inner.as_fd()),
    )
}

/// A short result shows nothing here, as for `read_vectored`.
pub(super) fn write_vectored<I: AsFd + Write>(
    operation: &Operation,
    inner: &mut I,
    sharing: Sharing,
    bufs: &[IoSlice<'_>],
) -> io::Result<usize> {
    let first = bufs.iter().find(|buf| !buf.is_empty());
    operation.run(
        inner,
        Direction::Write,
        sharing,
        Timeout::Never,
        |inner| match operation.is_shared() {
            false => inner.write_vectored(bufs),
            true => shared::write(inner.as_fd(), first.map_or(&[], |buf| buf)),
        },
        |_, _| false,
    )
}

/// Flushes what `inner` buffers itself, which most types do not.
fn flush<I: AsFd + Write>(operation: &Operation, inner: &mut I) -> io::Result<()> {
    if operation.is_shared() {
        return Ok(());
    }
    match inner.flush() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => operation.run(
            inner,
            Direction::Write,
            Sharing::Exclusive,
            Timeout::Never,
            Write::flush,
            |_, ()| false,
        ),
        flushed => flushed,
    }
}

impl<T: AsFd> Read for &Green<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        read(self.operation(), &mut inner, Sharing::Exclusive, buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut inner = self.inner();
        read_vectored(self.operation(), &mut inner, Sharing::Exclusive, bufs)
    }
}

impl<T: AsFd + Read> Read for Green<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (operation, inner) = self.parts_mut();
        read(operation, inner, Sharing::Exclusive, buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (operation, inner) = self.parts_mut();
        read_vectored(operation, inner, Sharing::Exclusive, bufs)
    }
}

impl<T: AsFd> Write for &Green<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        write(self.operation(), &mut inner, Sharing::Exclusive, buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.inner();
        write_vectored(self.operation(), &mut inner, Sharing::Exclusive, bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        flush(self.operation(), &mut self.inner())
    }
}

impl<T: AsFd + Write> Write for Green<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (operation, inner) = self.parts_mut();
        write(operation, inner, Sharing::Exclusive, buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let (operation, inner) = self.parts_mut();
        write_vectored(operation, inner, Sharing::Exclusive, bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        let (operation, inner) = self.parts_mut();
        flush(operation, inner)
    }
}
