//! The file system in the shape of [`std::fs`]: each function runs on a helper OS thread, and parks
//! the green thread meanwhile.
//!
//! No system tells when a regular file is ready, so there is nothing to wait for but the operation
//! itself; see [`unblock`]. If the caller is killed or times out, the operation runs on to its end.
//!
//! The types are std's own. Differs from std in name only, therefore: the methods of [`File`],
//! [`OpenOptions`], [`DirBuilder`] and [`DirEntry`], and each step through a [`ReadDir`], block the OS
//! thread. That is short as a rule; where it may not be, wrap it in `unblock`.
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

/// Functions of one path.
macro_rules! of_a_path {
    ($($(#[$doc:meta])+ $name:ident -> $output:ty;)+) => {$(
        $(#[$doc])+
        ///
        /// Parks until it is done.
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`std::fs::", stringify!($name), "`].")]
        pub fn $name<P: AsRef<Path>>(path: P) -> io::Result<$output> {
            let path = path.as_ref().to_owned();
            unblock(move || fs::$name(path))
        }
    )+};
}

/// Functions of two paths.
macro_rules! of_two_paths {
    ($($(#[$doc:meta])+ $name:ident($one:ident, $two:ident) -> $output:ty;)+) => {$(
        $(#[$doc])+
        ///
        /// Parks until it is done.
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`std::fs::", stringify!($name), "`].")]
        pub fn $name<P: AsRef<Path>, Q: AsRef<Path>>($one: P, $two: Q) -> io::Result<$output> {
            let ($one, $two) = ($one.as_ref().to_owned(), $two.as_ref().to_owned());
            unblock(move || fs::$name($one, $two))
        }
    )+};
}

of_a_path! {
    /// All bytes of a file.
    read -> Vec<u8>;
    /// All text of a file.
    read_to_string -> String;
    /// What a symbolic link points to.
    read_link -> PathBuf;
    /// The entries of a folder. Stepping through them blocks the OS thread.
    read_dir -> ReadDir;
    /// What there is to know of a file, through symbolic links.
    metadata -> Metadata;
    /// What there is to know of a file, or of a symbolic link itself.
    symlink_metadata -> Metadata;
    /// Whether there is something, through symbolic links.
    exists -> bool;
    /// The absolute path without symbolic links.
    canonicalize -> PathBuf;
    /// Makes a folder.
    create_dir -> ();
    /// Makes a folder, and those that it lies in.
    create_dir_all -> ();
    /// Removes an empty folder.
    remove_dir -> ();
    /// Removes a folder with all that is in it.
    remove_dir_all -> ();
    /// Removes a file.
    remove_file -> ();
}

of_two_paths! {
    /// Copies a file and its permissions, and returns the number of bytes.
    copy(from, to) -> u64;
    /// Makes another name for a file.
    hard_link(original, link) -> ();
    /// Renames a file or a folder, in place of what has that name.
    rename(from, to) -> ();
}

/// Writes a file, in place of one that there was. The contents are copied, since the helper OS thread
/// may outlive the caller's.
///
/// Parks until it is done.
///
/// # Errors
///
/// As [`std::fs::write`].
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    unblock(move || fs::write(path, contents))
}

/// Changes who may do what with a file.
///
/// Parks until it is done.
///
/// # Errors
///
/// As [`std::fs::set_permissions`].
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    unblock(move || fs::set_permissions(path, permissions))
}
