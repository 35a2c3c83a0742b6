//! `OpenOptions`: how a file is opened.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::file::File;
use super::named_pipe;
use super::pauses::Pauses;
use crate::blocking::unblock_io;
use crate::thread::sleep;

/// Options for opening a file, like [`std::fs::OpenOptions`].
///
/// # Examples
///
/// ```
/// use evy::fs::OpenOptions;
/// use std::io::Write;
///
/// let path = std::env::temp_dir().join(format!("evy-options-{}", std::process::id()));
/// let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
/// writeln!(file, "one more line")?;
/// evy::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    std: fs::OpenOptions,
    /// The custom flags in `std`.
    flags: i32,
}

/// What an attempt to open a file has led to.
enum Opened {
    File(fs::File),
    /// One end of a named pipe, which is non-blocking.
    NamedPipe(fs::File),
    /// The writing end of a named pipe cannot be opened before the reading end.
    NoReader,
}

impl OpenOptions {
    /// Returns options of which none is set.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "std's has none either")]
    pub fn new() -> Self {
        Self {
            std: fs::OpenOptions::new(),
            flags: 0,
        }
    }

    /// Sets whether the file can be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.std.read(read);
        self
    }

    /// Sets whether the file can be written to.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.std.write(write);
        self
    }

    /// Sets whether each write goes to the end of the file.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.std.append(append);
        self
    }

    /// Sets whether the previous contents are removed.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.std.truncate(truncate);
        self
    }

    /// Sets whether the file is created if it does not exist.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.std.create(create);
        self
    }

    /// Sets whether the file is created, and it is an error if it exists.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.std.create_new(create_new);
        self
    }

    /// Opens the file.
    ///
    /// Parks until it is open. A named pipe is open when it has another end; that is noticed within
    /// 20 milliseconds.
    ///
    /// # Errors
    ///
    /// Returns an error as [`std::fs::OpenOptions::open`] does.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let mut pauses = Pauses::new();
        loop {
            let (options, path) = (self.clone(), path.as_ref().to_owned());
            match unblock_io(move || options.attempt(&path))? {
                Opened::File(file) => return Ok(file.into()),
                Opened::NamedPipe(pipe) => {
                    named_pipe::finish_open(&pipe)?;
                    return Ok(pipe.into());
                }
                Opened::NoReader => sleep(pauses.next()),
            }
        }
    }

    /// Opens the file on this OS thread, without waiting for the other end of a named pipe.
    fn attempt(&self, path: &Path) -> io::Result<Opened> {
        let is_nonblocking = self.flags & libc::O_NONBLOCK != 0;
        if is_nonblocking || !named_pipe::is_named_pipe(path) {
            return self.std.open(path).map(Opened::File);
        }
        let mut options = self.std.clone();
        options.custom_flags(self.flags | libc::O_NONBLOCK);
        match options.open(path) {
            Err(error) if named_pipe::has_no_reader(&error) => Ok(Opened::NoReader),
            opened => opened.map(Opened::NamedPipe),
        }
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.std.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.std.custom_flags(flags);
        self.flags = flags;
        self
    }
}
