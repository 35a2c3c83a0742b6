//! `stdin`: standard input that parks.

use std::io::{self, BufRead, IoSliceMut, Lines, Read};
use std::sync::PoisonError;

use super::descriptor_of_std;
use super::stdin_buffer::StdinBuffer;
use crate::io::not_utf8;
use crate::sync::{Mutex, MutexGuard};

static STDIN: Mutex<StdinBuffer> = Mutex::new(StdinBuffer::new());

/// Returns a handle to the standard input of the process, like [`std::io::stdin`]: reading parks the
/// green thread instead of blocking the OS thread.
///
/// All handles share one buffer and one lock, on all OS threads. The descriptor stays as it is, so
/// other processes that share it do not notice anything.
///
/// A green thread that is killed or times out while it reads a line, a number of bytes with
/// `read_exact`, or everything, takes nothing out of the buffer. The next reader gets it.
///
/// # Differences from std
///
/// - The buffer is another one than that of [`std::io::stdin`]. A program should use one of them.
/// - If reading a line fails, the part that was read stays in the buffer.
///
/// The `readable` arm of `select!` asks the descriptor. It does not see what is in the buffer already,
/// so read all of it first.
///
/// # Examples
///
/// ```no_run
/// use evy::io;
/// use std::time::Duration;
///
/// let mut name = String::new();
/// match evy::timeout(Duration::from_secs(10), || io::stdin().read_line(&mut name)) {
///     Ok(read) => println!("{} bytes: {name}", read?),
///     Err(_) => println!("no line in time; what has been typed is still there"),
/// }
/// # Ok::<(), io::Error>(())
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    Stdin { std: io::stdin() }
}

/// A handle to the standard input of the process. Returned by [`stdin`].
pub struct Stdin {
    std: io::Stdin,
}

impl Stdin {
    /// Locks standard input, for several reads that no other reader comes between.
    ///
    /// Parks until no other green thread has the lock.
    #[must_use]
    pub fn lock(&self) -> StdinLock<'static> {
        StdinLock {
            buffer: STDIN.lock().unwrap_or_else(PoisonError::into_inner),
            std: io::stdin(),
        }
    }

    /// Locks standard input and reads a line into `buf`, including its newline. Returns the number
    /// of bytes, which is zero at the end of the stream.
    ///
    /// Parks until there is a line.
    ///
    /// # Errors
    ///
    /// Returns `InvalidData` if the line is not UTF-8, and the error of the system.
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// Locks standard input and returns an iterator over its lines.
    ///
    /// Parks until no other green thread has the lock. Each step parks until there is a line.
    #[must_use = "an iterator does nothing unless it is used"]
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }
}

/// Exclusive access to standard input. Returned by [`Stdin::lock`].
pub struct StdinLock<'a> {
    buffer: MutexGuard<'a, StdinBuffer>,
    std: io::Stdin,
}

descriptor_of_std!(Stdin);
descriptor_of_std!(StdinLock<'_>);

impl StdinLock<'_> {
    /// Appends the first `n` bytes of the buffer to `buf`.
    fn take_text(&mut self, n: usize, buf: &mut String) -> io::Result<usize> {
        let text = std::str::from_utf8(&self.buffer.data()[..n]);
        let result = match text {
            Ok(text) => {
                buf.push_str(text);
                Ok(n)
            }
            Err(_) => Err(not_utf8()),
        };
        self.buffer.consume(n);
        result
    }

    fn take_bytes(&mut self, n: usize, buf: &mut Vec<u8>) -> usize {
        buf.extend_from_slice(&self.buffer.data()[..n]);
        self.buffer.consume(n);
        n
    }
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match buf.is_empty() {
            true => Ok(0),
            false => self.buffer.read(buf),
        }
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.buffer.wait_for(usize::MAX)?;
        let n = self.buffer.data().len();
        Ok(self.take_bytes(n, buf))
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.buffer.wait_for(usize::MAX)?;
        let n = self.buffer.data().len();
        self.take_text(n, buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.buffer.wait_for(buf.len())?;
        match self.buffer.data().get(..buf.len()) {
            Some(data) => buf.copy_from_slice(data),
            None => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "failed to fill whole buffer",
                ));
            }
        }
        self.buffer.consume(buf.len());
        Ok(())
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.buffer.fill()
    }

    fn consume(&mut self, n: usize) {
        self.buffer.consume(n);
    }

    fn read_until(&mut self, byte: u8, buf: &mut Vec<u8>) -> io::Result<usize> {
        let n = self.buffer.wait_until(byte)?;
        Ok(self.take_bytes(n, buf))
    }

    fn read_line(&mut self, buf: &mut String) -> io::Result<usize> {
        let n = self.buffer.wait_until(b'\n')?;
        self.take_text(n, buf)
    }
}

impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.lock().read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}
