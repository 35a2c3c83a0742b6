//! `read_dir`: the entries of a directory.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, TryLockError};

use crate::blocking::unblock_io;
use crate::primitive::lock;
use crate::thread::charge;

/// The number of entries that a helper OS thread reads at once.
const BATCH: usize = 64;

/// Returns an iterator over the entries within a directory.
///
/// Parks until the directory is open.
///
/// # Errors
///
/// Returns an error as [`std::fs::read_dir`] does.
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let entries = unblock_io(move || fs::read_dir(path))?;
    let read = VecDeque::new();
    Ok(ReadDir {
        listing: Arc::new(Mutex::new(Listing { entries, read })),
        has_failed: false,
    })
}

/// An iterator over the entries within a directory, like [`std::fs::ReadDir`]. Returned by
/// [`read_dir`].
///
/// Its steps park now and then, because a helper OS thread reads the directory in parts.
#[must_use = "an iterator does nothing unless it is used"]
pub struct ReadDir {
    listing: Arc<Mutex<Listing>>,
    /// Nothing can read the directory any more.
    has_failed: bool,
}

struct Listing {
    entries: fs::ReadDir,
    /// What was read and not taken. A caller that is killed or times out leaves it for the next
    /// step.
    read: VecDeque<Option<io::Result<DirEntry>>>,
}

impl Listing {
    /// Takes the next entry, which is `None` at the end. Returns `None` if it has not been read.
    fn take(&mut self) -> Option<Option<io::Result<DirEntry>>> {
        self.read.pop_front()
    }

    fn read_more(&mut self) {
        while self.read.len() < BATCH {
            let entry = self.entries.next();
            let is_end = entry.is_none();
            self.read.push_back(entry);
            if is_end {
                break;
            }
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        charge(|| false);
        if self.has_failed {
            return None;
        }
        loop {
            // The helper OS thread of a step that was given up may still hold the lock.
            let taken = match self.listing.try_lock() {
                Ok(mut listing) => listing.take(),
                Err(TryLockError::WouldBlock) => None,
                Err(TryLockError::Poisoned(listing)) => listing.into_inner().take(),
            };
            if let Some(entry) = taken {
                return entry;
            }
            let listing = Arc::clone(&self.listing);
            let more = unblock_io(move || {
                lock(&listing).read_more();
                Ok(())
            });
            if let Err(error) = more {
                self.has_failed = true;
                return Some(Err(error));
            }
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.listing.try_lock() {
            Ok(listing) => listing.entries.fmt(f),
            Err(_) => f.debug_struct("ReadDir").finish_non_exhaustive(),
        }
    }
}
