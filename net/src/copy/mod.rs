//! `copy` and `copy_bidirectional`: what one stream reads is written to another one.
//!
//! On Linux, the bytes of two sockets go from one to the other inside the kernel. Everything else
//! goes through a buffer.

mod buffered;
mod error;
#[cfg(target_os = "linux")]
mod splice;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use evy_runtime::JoinSet;
use evy_runtime::lowlevel::resume_unwind;
use evy_runtime::thread::Builder;

use crate::stream::{Duplex, Stream};

pub use error::CopyError;

/// Copies from `reader` to `writer` until `reader` ends, and returns the number of bytes. Like
/// [`std::io::copy`].
///
/// The writer is flushed after each piece, and is not closed at the end.
///
/// Parks while there is nothing to read, or no room to write.
///
/// # Differences from std
///
/// - Between two sockets, also behind references or in a `Box<dyn Stream>`, the bytes stay in the
///   kernel on Linux (splice(2)), unless the program has changed what SIGPIPE does.
///
/// # Errors
///
/// Returns the kind of the error of `reader` or `writer`. The error contains a [`CopyError`], with
/// the number of bytes that were written before.
///
/// # Examples
///
/// ```
/// use evy::net::{self, Shutdown};
/// use evy::os::unix::net::UnixStream;
/// use std::io::{Read, Write};
///
/// let (mut source, mut from) = UnixStream::pair()?;
/// let (mut to, mut sink) = UnixStream::pair()?;
/// source.write_all(b"hello")?;
/// source.shutdown(Shutdown::Write)?;
/// assert_eq!(net::copy(&mut from, &mut to)?, 5);
/// drop(to);
/// let mut text = String::new();
/// sink.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let copied = Cell::new(0);
    match transfer(reader, writer, &copied) {
        Ok(()) => Ok(copied.get()),
        Err(error) => Err(CopyError::wrap(error, copied.get(), 0)),
    }
}

/// Copies from `a` to `b` and from `b` to `a` at the same time, as a proxy does. Returns the two
/// numbers of bytes when both directions have ended.
///
/// When one stream ends, the writing direction of the other one is closed, and the copy back goes
/// on. When one direction fails, or the caller is killed or times out, the other direction ends
/// too.
///
/// Each direction has a green thread of its own.
///
/// Parks until both directions have ended.
///
/// # Errors
///
/// Returns the kind of the error of the direction that failed first. The error contains a
/// [`CopyError`], with the numbers of bytes that were written before.
///
/// # Panics
///
/// Panics if a stream panics.
///
/// # Examples
///
/// ```no_run
/// use evy::net;
///
/// let server = evy::listen("127.0.0.1:8080")?;
/// evy::serve(server, |mut client, _| {
///     let mut backend = evy::connect("127.0.0.1:80")?;
///     net::copy_bidirectional(&mut client, &mut backend).map(drop)
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn copy_bidirectional<A: Duplex, B: Duplex>(a: &mut A, b: &mut B) -> io::Result<(u64, u64)> {
    let copied = Rc::new(Cell::new(0));
    let copied_back = Rc::new(Cell::new(0));
    let directions = JoinSet::new();
    let there = one_way(a.try_clone()?, b.try_clone()?, Rc::clone(&copied));
    let back = one_way(b.try_clone()?, a.try_clone()?, Rc::clone(&copied_back));
    directions.add(Builder::new().spawn(there)?);
    directions.add(Builder::new().spawn(back)?);
    while let Some(outcome) = directions.join_next() {
        let error = match outcome {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(panic) if panic.is_panic() => resume_unwind(panic.into_panic()),
            Err(_) => io::Error::other("a direction of the copy was killed"),
        };
        // The other direction ends here, and counts no further.
        drop(directions);
        return Err(CopyError::wrap(error, copied.get(), copied_back.get()));
    }
    Ok((copied.get(), copied_back.get()))
}

/// Returns a closure that copies until `from` ends, and then closes the writing direction of `to`.
fn one_way<R: Stream, W: Stream>(
    mut from: R,
    mut to: W,
    copied: Rc<Cell<u64>>,
) -> impl FnOnce() -> io::Result<()> {
    move || {
        transfer(&mut from, &mut to, &copied)?;
        match to.close_write() {
            // The peer is gone. If that is an error, the other direction reports it.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            closed => closed,
        }
    }
}

/// Copies until the reader ends, and adds the number of bytes that were written to `copied`.
fn transfer<R, W>(reader: &mut R, writer: &mut W, copied: &Cell<u64>) -> io::Result<()>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    #[cfg(target_os = "linux")]
    splice::transfer(reader, writer, copied)?;
    buffered::transfer(reader, writer, copied)
}
