//! Why a green thread is parked, and why it came back.

use std::fmt;

/// What a parked green thread waits for: each place that parks has its own, so that a report of a
/// stall tells something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// Not started yet.
    Start,
    /// `thread::park`.
    Park,
    /// `sleep`.
    Sleep,
    /// A green thread to end.
    Join,
    /// The children of a scope to end.
    Scope,
    /// A descriptor to become readable.
    Readable(i32),
    /// A descriptor to become writable.
    Writable(i32),
    /// A helper OS thread to finish.
    Unblock,
    /// A free place in a pool.
    PoolSlot,
    /// All members of a pool to finish.
    PoolIdle,
    /// The next result of a pile or an `imap`.
    Result,
    /// Something that a crate above names.
    Other(&'static str),
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("its start"),
            Self::Park => f.write_str("unpark"),
            Self::Sleep => f.write_str("the end of a sleep"),
            Self::Join => f.write_str("the end of a green thread"),
            Self::Scope => f.write_str("the green threads of its scope"),
            Self::Readable(fd) => write!(f, "descriptor {fd} to become readable"),
            Self::Writable(fd) => write!(f, "descriptor {fd} to become writable"),
            Self::Unblock => f.write_str("a helper OS thread"),
            Self::PoolSlot => f.write_str("a free place in a pool"),
            Self::PoolIdle => f.write_str("the end of a pool's members"),
            Self::Result => f.write_str("the next result of a pool"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What was waited for has come, or somebody says so.
    Unparked,
    /// The deadline has come.
    TimedOut,
    /// A kill or an enclosing timeout: the wait is over whatever becomes of it.
    Interrupted,
    /// Nothing can ever end this wait. Only a root is told.
    Stalled,
}
