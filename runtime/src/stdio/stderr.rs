//! `stderr`: standard error that parks.

use std::fmt;
use std::io::{self, Write};
use std::process::Stdio;

use super::descriptor_of_std;
use super::output::Output;
use crate::sync::reentrant_lock::{ReentrantLock, ReentrantLockGuard};

static STDERR: ReentrantLock<()> = ReentrantLock::new(());

/// Returns a handle to the standard error of the process, like [`std::io::stderr`]: writing parks
/// the green thread instead of blocking the OS thread.
///
/// Nothing is buffered. All handles share one lock, on all OS threads. The descriptor stays as it
/// is, so other processes that share it do not notice anything.
///
/// # Differences from std
///
/// - The lock is another one than that of [`std::io::stderr`], to which `eprintln!` writes.
///
/// # Examples
///
/// ```
/// use evy::io::{self, Write};
///
/// writeln!(io::stderr(), "something went wrong")?;
/// # Ok::<(), io::Error>(())
/// ```
#[must_use]
pub fn stderr() -> Stderr {
    Stderr { std: io::stderr() }
}

/// A handle to the standard error of the process. Returned by [`stderr`].
pub struct Stderr {
    std: io::Stderr,
}

impl Stderr {
    /// Locks standard error, for several writes that no other writer comes between. A green thread
    /// may lock it again.
    ///
    /// Parks until no other green thread has the lock.
    #[must_use]
    pub fn lock(&self) -> StderrLock<'static> {
        StderrLock {
            _lock: STDERR.lock(),
            std: io::stderr(),
        }
    }
}

/// Exclusive access to standard error. Returned by [`Stderr::lock`].
pub struct StderrLock<'a> {
    _lock: ReentrantLockGuard<'a, ()>,
    std: io::Stderr,
}

descriptor_of_std!(Stderr);
descriptor_of_std!(StderrLock<'_>);

impl Write for StderrLock<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Output(&self.std).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &Stderr {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.lock().write(buf)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.lock().write_all(buf)
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        self.lock().write_fmt(args)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Stderr {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        (&*self).write_fmt(args)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Stderr> for Stdio {
    /// Gives the standard error of this process to a child.
    fn from(stderr: Stderr) -> Self {
        stderr.std.into()
    }
}
