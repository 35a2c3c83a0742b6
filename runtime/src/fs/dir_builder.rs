//! `DirBuilder`: creates directories, with options.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::blocking::unblock_io;

/// Creates directories, with options, like [`std::fs::DirBuilder`].
///
/// # Examples
///
/// ```
/// use evy::fs::DirBuilder;
///
/// let folder = std::env::temp_dir().join(format!("evy-builder-{}", std::process::id()));
/// DirBuilder::new().recursive(true).create(folder.join("inner"))?;
/// evy::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl DirBuilder {
    /// Returns the options for a directory whose parent exists.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "std's has none either")]
    pub fn new() -> Self {
        Self {
            recursive: false,
            mode: 0o777,
        }
    }

    /// Sets whether missing parents are created too, and whether it is no error if the directory
    /// exists.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Creates the directory.
    ///
    /// Parks until it is created.
    ///
    /// # Errors
    ///
    /// Returns an error as [`std::fs::DirBuilder::create`] does.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(self.recursive).mode(self.mode);
        let path = path.as_ref().to_owned();
        unblock_io(move || builder.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }
}
