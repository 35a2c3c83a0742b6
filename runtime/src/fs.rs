//! Filesystem operations, like [`std::fs`]: each function runs on a helper OS thread, and parks the
//! green thread until it is done.
//!
//! No operating system reports when a regular file is ready, so a green thread can only wait for
//! the end of the whole operation; see [`unblock`]. If the caller is killed or times out, the
//! operation still runs to its end.
//!
//! # Differences from std
//!
//! - The types are std's own. The methods of [`File`], [`OpenOptions`], [`DirBuilder`] and
//!   [`DirEntry`], and each step through a [`ReadDir`], therefore block the OS thread. That is
//!   usually short. Where it may not be, wrap the call in `unblock`.
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

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use std::fs::{
    DirBuilder, DirEntry, File, FileTimes, FileType, Metadata, OpenOptions, Permissions, ReadDir,
    TryLockError,
};

use crate::blocking::unblock;

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
            unblock(move || fs::$name(path))
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
            unblock(move || fs::$name($one, $two))
        }
    )+};
}

of_a_path! {
    /// Reads the entire contents of a file into a bytes vector.
    read -> Vec<u8>;
    /// Reads the entire contents of a file into a string.
    read_to_string -> String;
    /// Reads a symbolic link, returning the path that it points to.
    read_link -> PathBuf;
    /// Returns an iterator over the entries within a directory.
    ///
    /// Stepping through the entries blocks the OS thread.
    read_dir -> ReadDir;
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
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    unblock(move || fs::write(path, contents))
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
    unblock(move || fs::set_permissions(path, permissions))
}
