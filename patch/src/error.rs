//! `PatchError`: why a program cannot be patched.

use std::error::Error;
use std::fmt;
use std::io;

/// Says why a program cannot be patched. Returned by [`monkey_patch`](crate::monkey_patch).
#[derive(Debug)]
#[non_exhaustive]
pub struct PatchError {
    reason: String,
}

impl PatchError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocking calls cannot be patched: {}", self.reason)
    }
}

impl Error for PatchError {}

impl From<PatchError> for io::Error {
    fn from(error: PatchError) -> Self {
        Self::new(io::ErrorKind::Unsupported, error)
    }
}
