//! `stdout`: standard output that parks.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::io::{self, IoSlice, LineWriter, Write};
use std::process::Stdio;
use std::sync::OnceLock;

use super::descriptor_of_std;
use super::output::{self, Output};
use crate::fork;
use crate::sync::reentrant_lock::{ReentrantLock, ReentrantLockGuard};
use crate::thread::charge;

type Writer = RefCell<LineWriter<Output<io::Stdout>>>;

static STDOUT: OnceLock<ReentrantLock<Writer>> = OnceLock::new();

/// Returns a handle to the standard output of the process, like [`std::io::stdout`]: writing parks
/// the green thread instead of blocking the OS thread.
///
/// All handles share one buffer and one lock, on all OS threads. The buffer is written at each
/// newline, when it is full, by `flush`, and when the process exits, as long as no green thread is
/// in the middle of a write. The descriptor stays as it is, so other processes that share it do not
/// notice anything.
///
/// # Differences from std
///
/// - The buffer is another one than that of [`std::io::stdout`], to which `println!` writes. Whole
///   lines keep their order, because both buffers are written at each newline. After a part of a
///   line, call `flush`.
///
/// # Examples
///
/// ```
/// use evy::io::{self, Write};
///
/// let mut output = io::stdout().lock();
/// writeln!(output, "two lines that")?;
/// writeln!(output, "stay together")?;
/// # Ok::<(), io::Error>(())
/// ```
#[must_use]
pub fn stdout() -> Stdout {
    Stdout { std: io::stdout() }
}

/// A handle to the standard output of the process. Returned by [`stdout`].
pub struct Stdout {
    std: io::Stdout,
}

impl Stdout {
    /// Locks standard output, for several writes that no other writer comes between. A green thread
    /// may lock it again.
    ///
    /// Parks until no other green thread has the lock.
    #[must_use]
    pub fn lock(&self) -> StdoutLock<'static> {
        let lock = STDOUT.get_or_init(|| {
            flush_at_exit();
            ReentrantLock::new(RefCell::new(LineWriter::new(Output(io::stdout()))))
        });
        StdoutLock {
            writer: lock.lock(),
            std: io::stdout(),
        }
    }
}

/// Exclusive access to standard output. Returned by [`Stdout::lock`].
pub struct StdoutLock<'a> {
    writer: ReentrantLockGuard<'a, Writer>,
    std: io::Stdout,
}

descriptor_of_std!(Stdout);
descriptor_of_std!(StdoutLock<'_>);

impl StdoutLock<'_> {
    /// Charges an operation, most of which touch only the buffer, and returns the writer.
    fn writer(&self) -> RefMut<'_, LineWriter<Output<io::Stdout>>> {
        charge(|| false);
        self.writer.borrow_mut()
    }
}

impl Write for StdoutLock<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writer().write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.writer().write_all(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

impl Write for &Stdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.lock().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.lock().write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.lock().write_all(buf)
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        self.lock().write_fmt(args)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

impl Write for Stdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        (&*self).write_fmt(args)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl From<Stdout> for Stdio {
    /// Gives the standard output of this process to a child.
    fn from(stdout: Stdout) -> Self {
        stdout.std.into()
    }
}

/// Makes the exit of the process write what is left in the buffer.
fn flush_at_exit() {
    extern "C" fn flush() {
        output::set_exiting();
        // What is in the buffer of a child that was created with `fork` belongs to the parent. A
        // green thread that is in the middle of a write will not finish it.
        if !fork::is_child()
            && let Some(lock) = STDOUT.get().and_then(ReentrantLock::lock_at_exit)
            && let Ok(mut writer) = lock.try_borrow_mut()
        {
            // There is nothing to report an error to.
            writer.flush().ok();
            // What is written from now on is not kept.
            *writer = LineWriter::with_capacity(0, Output(io::stdout()));
        }
    }
    // SAFETY: `flush` may be called at any time, on any OS thread, and does not unwind: it runs code
    // of this module and system calls only. If it cannot be registered, nothing else changes.
    unsafe { libc::atexit(flush) };
}
