//! Filesystem operations, like [`std::fs`]: each function runs on a helper OS thread, and parks the
//! green thread until it is done.
//!
//! No operating system reports when a regular file is ready, so a green thread can only wait for
//! the end of the whole operation; see [`unblock`](crate::unblock). If the caller is killed or times out, the
//! operation still runs to its end.
//!
//! A [`File`] is read and written on this OS thread, because that takes less than a microsecond if
//! the data is in memory, and a helper OS thread takes ten to thirty. What may take long is done on a
//! helper: opening, `sync_all`, `set_len`, stepping through a [`ReadDir`]. Waiting for a lock parks.
//! A named pipe or a terminal parks too, and so does the wait for the other end of a named pipe
//! (on Linux): none of them holds a helper OS thread.
//!
//! A read of a regular file blocks the OS thread if the data must come from a slow disk or from the
//! network. Where that is to be expected, use [`read()`], or wrap the loop in `unblock`.
//!
//! # Differences from std
//!
//! - [`File`], [`OpenOptions`], [`DirBuilder`] and [`ReadDir`] are types of their own. `From` converts
//!   a `File` from and into std's.
//! - [`write()`] copies the contents first.
//!
//! # Examples
//!
//! ```
//! use evy::fs;
//!
//! let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
//! fs::create_dir_all(&folder)?;
//! fs::write(folder.join("greeting"), "hello")?;
//! assert_eq!(fs::read_to_string(folder.join("greeting"))?, "hello");
//! fs::remove_dir_all(&folder)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod dir_builder;
mod file;
mod named_pipe;
mod open_options;
mod pauses;
mod read_dir;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub use std::fs::{DirEntry, FileTimes, FileType, Metadata, Permissions, TryLockError};

pub use dir_builder::DirBuilder;
pub use file::File;
pub use open_options::OpenOptions;
pub use read_dir::{ReadDir, read_dir};

use crate::blocking::unblock_io;

/// Defines functions that take one path.
macro_rules! of_a_path {
    ($($(#[$doc:meta])+ $name:ident -> $output:ty;)+) => {$(
        $(#[$doc])+
        ///
        /// Parks until the operation is done.
        ///
        /// # Errors
        ///
        #[doc = concat!("Returns an error as [`std::fs::", stringify!($name), "`] does.")]
        pub fn $name<P: AsRef<Path>>(path: P) -> io::Result<$output> {
            let path = path.as_ref().to_owned();
            unblock_io(move || fs::$name(path))
        }
    )+};
}

/// Defines functions that take two paths.
macro_rules! of_two_paths {
    ($($(#[$doc:meta])+ $name:ident($one:ident, $two:ident) -> $output:ty;)+) => {$(
        $(#[$doc])+
        ///
        /// Parks until the operation is done.
        ///
        /// # Errors
        ///
        #[doc = concat!("Returns an error as [`std::fs::", stringify!($name), "`] does.")]
        pub fn $name<P: AsRef<Path>, Q: AsRef<Path>>($one: P, $two: Q) -> io::Result<$output> {
            let ($one, $two) = ($one.as_ref().to_owned(), $two.as_ref().to_owned());
            unblock_io(move || fs::$name($one, $two))
        }
    )+};
}

of_a_path! {
    /// Reads a symbolic link, returning the path that it points to.
    read_link -> PathBuf;
    /// Queries the metadata of a file or directory, following symbolic links.
    metadata -> Metadata;
    /// Queries the metadata of a file or directory, without following symbolic links.
    symlink_metadata -> Metadata;
    /// Returns `Ok(true)` if the path points at an existing entity, following symbolic links.
    exists -> bool;
    /// Returns the canonical, absolute form of a path, with all symbolic links resolved.
    canonicalize -> PathBuf;
    /// Creates a new, empty directory.
    create_dir -> ();
    /// Creates a directory, and all of its parent directories if they are missing.
    create_dir_all -> ();
    /// Removes an empty directory.
    remove_dir -> ();
    /// Removes a directory, after removing all its contents.
    remove_dir_all -> ();
    /// Removes a file from the filesystem.
    remove_file -> ();
}

of_two_paths! {
    /// Copies the contents and the permissions of one file to another, and returns the number of
    /// bytes copied.
    copy(from, to) -> u64;
    /// Creates a new hard link to a file.
    hard_link(original, link) -> ();
    /// Renames a file or directory, replacing the destination if it already exists.
    rename(from, to) -> ();
}

/// Creates a new symbolic link to a file or directory.
///
/// Parks until the operation is done.
///
/// # Errors
///
/// Returns an error as [`std::os::unix::fs::symlink`] does.
#[deprecated(note = "replaced with std::os::unix::fs::symlink")]
pub fn soft_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    unblock_io(move || std::os::unix::fs::symlink(original, link))
}

/// Runs `op` on a helper OS thread if `path` is neither a named pipe nor another device. Returns `None`
/// if it is: its other end may be awaited for any time, which a [`File`] does without an OS thread.
fn unless_device<T: Send + 'static>(
    path: &Path,
    op: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
) -> io::Result<Option<T>> {
    let path = path.to_owned();
    unblock_io(move || {
        let is_device = |metadata: Metadata| !metadata.is_file() && !metadata.is_dir();
        match fs::metadata(&path).is_ok_and(is_device) {
            true => Ok(None),
            false => op(path).map(Some),
        }
    })
}

/// Reads the entire contents of a file into a bytes vector.
///
/// Parks until the operation is done.
///
/// # Errors
///
/// Returns an error as [`std::fs::read`] does.
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    if let Some(bytes) = unless_device(path, fs::read)? {
        return Ok(bytes);
    }
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the entire contents of a file into a string.
///
/// Parks until the operation is done.
///
/// # Errors
///
/// Returns an error as [`std::fs::read_to_string`] does.
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    let path = path.as_ref();
    if let Some(text) = unless_device(path, fs::read_to_string)? {
        return Ok(text);
    }
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a slice as the entire contents of a file, replacing the file if it already exists.
///
/// The contents are copied first, because the operation may outlive the caller.
///
/// Parks until the operation is done.
///
/// # Errors
///
/// Returns an error as [`std::fs::write`] does.
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let (path, contents) = (path.as_ref(), contents.as_ref());
    let copy = contents.to_owned();
    match unless_device(path, move |path| fs::write(path, copy))? {
        Some(()) => Ok(()),
        None => File::create(path)?.write_all(contents),
    }
}

/// Changes the permissions of a file or directory.
///
/// Parks until the operation is done.
///
/// # Errors
///
/// Returns an error as [`std::fs::set_permissions`] does.
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    unblock_io(move || fs::set_permissions(path, permissions))
}
