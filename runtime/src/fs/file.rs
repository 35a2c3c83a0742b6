//! `File`: an open file.

use std::fmt;
use std::fs::{self, FileTimes, Metadata, Permissions, TryLockError};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::OpenOptions;
use super::pauses::Pauses;
use crate::blocking::unblock_io;
use crate::io::{Green, is_always_ready, not_utf8};
use crate::sched;
use crate::thread::{charge, charge_try, charge_without_yield, sleep};

/// The number of bytes that a file is read in at a time, if all of it is read.
const PIECE: u64 = 1 << 20;

/// An open file, like [`std::fs::File`].
///
/// A regular file is read and written on this OS thread; the [module docs](super) say why. The
/// methods that say so park. Reads and writes of a named pipe, a terminal or another device park
/// until it is ready, and its mode is not changed.
///
/// If a caller is killed or times out, an operation on a helper OS thread still runs to its end.
///
/// # Differences from std
///
/// - `lock` and `lock_shared` try again every few milliseconds, because the system cannot take back a
///   wait for a lock. Waiters are served in no particular order.
///
/// # Examples
///
/// ```
/// use evy::fs::File;
/// use std::io::{Read, Seek, Write};
///
/// let path = std::env::temp_dir().join(format!("evy-file-{}", std::process::id()));
/// let mut file = File::options().read(true).write(true).create(true).open(&path)?;
/// file.write_all(b"hello")?;
/// file.sync_all()?;
/// file.rewind()?;
/// let mut text = String::new();
/// file.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// evy::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    /// Shared with the helper OS threads that work on it.
    std: Arc<fs::File>,
    /// Whether it is always ready; not known until it matters.
    is_always_ready: OnceLock<bool>,
}

impl File {
    /// Opens a file for reading.
    ///
    /// Parks until it is open.
    ///
    /// # Errors
    ///
    /// Returns an error as [`std::fs::File::open`] does.
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::options().read(true).open(path)
    }

    /// Opens a file for writing, without its previous contents. It is created if it does not exist.
    ///
    /// Parks until it is open.
    ///
    /// # Errors
    ///
    /// Returns an error as [`std::fs::File::create`] does.
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        let mut options = Self::options();
        options.write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file for reading and writing.
    ///
    /// Parks until it is open.
    ///
    /// # Errors
    ///
    /// Returns `AlreadyExists` if it exists, and errors as [`std::fs::File::create_new`] does.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        let mut options = Self::options();
        options.read(true).write(true).create_new(true).open(path)
    }

    /// Returns options for opening a file.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Runs `f` on a helper OS thread.
    fn unblock(
        &self,
        f: impl FnOnce(&fs::File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let std = Arc::clone(&self.std);
        unblock_io(move || f(&std))
    }

    /// Writes all data and metadata to the disk.
    ///
    /// Parks until that is done.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn sync_all(&self) -> io::Result<()> {
        self.unblock(fs::File::sync_all)
    }

    /// Writes all data to the disk, and the metadata without which it could not be read.
    ///
    /// Parks until that is done.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn sync_data(&self) -> io::Result<()> {
        self.unblock(fs::File::sync_data)
    }

    /// Acquires an exclusive lock on the file.
    ///
    /// Parks until the lock can be acquired.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn lock(&self) -> io::Result<()> {
        retry(|| self.try_lock())
    }

    /// Acquires a shared lock on the file. Any number of handles may hold one at the same time.
    ///
    /// Parks until the lock can be acquired.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn lock_shared(&self) -> io::Result<()> {
        retry(|| self.try_lock_shared())
    }

    /// Attempts to acquire an exclusive lock on the file, without parking.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if another handle holds a lock, and the error of the system.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        charge_try(|| self.std.try_lock(), Result::is_err)
    }

    /// Attempts to acquire a shared lock on the file, without parking.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if another handle holds an exclusive lock, and the error of the system.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        charge_try(|| self.std.try_lock_shared(), Result::is_err)
    }

    /// Releases all locks that this handle holds.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn unlock(&self) -> io::Result<()> {
        charge_without_yield();
        self.std.unlock()
    }

    /// Truncates the file to `size` bytes, or extends it by zeros.
    ///
    /// Parks until that is done.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.unblock(move |file| file.set_len(size))
    }

    /// Returns the metadata of the file.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn metadata(&self) -> io::Result<Metadata> {
        charge(|| false);
        self.std.metadata()
    }

    /// Returns another `File` with the same description: with the same position and lock.
    ///
    /// # Errors
    ///
    /// Returns the error of the system if no descriptor is available.
    pub fn try_clone(&self) -> io::Result<Self> {
        charge(|| false);
        self.std.try_clone().map(Self::from)
    }

    /// Changes the permissions.
    ///
    /// Parks until that is done.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        self.unblock(|file| file.set_permissions(perm))
    }

    /// Changes the times of the file.
    ///
    /// Parks until that is done.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.unblock(move |file| file.set_times(times))
    }

    /// Changes the time of the last modification.
    ///
    /// Parks until that is done.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    fn is_always_ready(&self) -> bool {
        let ask = || is_always_ready(self.std.as_fd()).unwrap_or(true);
        *self.is_always_ready.get_or_init(ask)
    }

    /// Returns what parks until the file is ready. Returns `None` and charges the operation if it is
    /// always ready.
    fn waiting(&self) -> io::Result<Option<Green<&fs::File>>> {
        if self.is_always_ready() {
            charge(|| false);
            return Ok(None);
        }
        Green::for_one_call(&*self.std).map(Some)
    }

    /// Returns the number of bytes behind the position, as far as it is known.
    fn bytes_left(&self) -> usize {
        let left = || {
            let position = (&*self.std).stream_position().ok()?;
            self.metadata().ok()?.len().checked_sub(position)
        };
        left().map_or(0, |left| usize::try_from(left).unwrap_or(0))
    }

    /// Returns std's file, which is not shared with a helper OS thread.
    fn into_std(self) -> io::Result<fs::File> {
        Arc::try_unwrap(self.std).or_else(|shared| shared.try_clone())
    }
}

/// Repeats `try_lock` until it does not fail because of another lock.
fn retry(try_lock: impl Fn() -> Result<(), TryLockError>) -> io::Result<()> {
    let mut pauses = Pauses::new();
    charge(|| false);
    loop {
        match try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                sched::try_current()?;
                sleep(pauses.next());
            }
        }
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.waiting()? {
            None => (&*self.std).read(buf),
            Some(mut green) => green.read(buf),
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self.waiting()? {
            None => (&*self.std).read_vectored(bufs),
            Some(mut green) => green.read_vectored(bufs),
        }
    }

    // Std's would read most of a large file in one system call, and other green threads could not
    // run meanwhile.
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        buf.try_reserve(self.bytes_left())?;
        let before = buf.len();
        while self.take(PIECE).read_to_end(buf)? as u64 == PIECE {}
        Ok(buf.len() - before)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let read = self.read_to_end(&mut bytes);
        match str::from_utf8(&bytes) {
            Ok(text) => buf.push_str(text),
            Err(_) => return read.and(Err(not_utf8())),
        }
        read
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.waiting()? {
            None => (&*self.std).write(buf),
            Some(mut green) => green.write(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.waiting()? {
            None => (&*self.std).write_vectored(bufs),
            Some(mut green) => green.write_vectored(bufs),
        }
    }

    /// Does nothing, because nothing is buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        charge(|| false);
        (&*self.std).seek(position)
    }
}

impl Read for File {
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
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    /// Does nothing, because nothing is buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        (&*self).seek(position)
    }
}

/// Only a regular file has positions, so these never park.
impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        charge(|| false);
        self.std.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        charge(|| false);
        self.std.write_at(buf, offset)
    }
}

impl From<fs::File> for File {
    fn from(std: fs::File) -> Self {
        Self {
            std: Arc::new(std),
            is_always_ready: OnceLock::new(),
        }
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        Self::from(fs::File::from(fd))
    }
}

impl From<File> for fs::File {
    /// Returns std's file.
    ///
    /// # Panics
    ///
    /// Panics if an operation that was given up still runs, and no descriptor is available for a
    /// duplicate.
    fn from(file: File) -> Self {
        let std = file.into_std();
        std.expect("failed to duplicate the descriptor")
    }
}

impl From<File> for OwnedFd {
    /// Returns the descriptor.
    ///
    /// # Panics
    ///
    /// Panics as the conversion into std's file does.
    fn from(file: File) -> Self {
        fs::File::from(file).into()
    }
}

impl From<File> for Stdio {
    /// Gives the file to a child.
    ///
    /// # Panics
    ///
    /// Panics as the conversion into std's file does.
    fn from(file: File) -> Self {
        fs::File::from(file).into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller owns the descriptor.
        Self::from(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}
