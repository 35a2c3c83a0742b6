//! `WaitReason`: the reason why a green thread is parked.

use std::fmt;

/// The reason why a green thread is parked, shown in deadlock reports.
///
/// Each parking point has a reason of its own, so that a report shows what every green thread waits
/// for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// To be started.
    Start,
    /// To be unparked, in `thread::park`.
    Park,
    /// The end of a `sleep`.
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
    /// A free slot in a pool.
    PoolSlot,
    /// All members of a pool to finish.
    PoolIdle,
    /// The next result of a `GreenPile` or an `imap`.
    Result,
    /// An [`Event`](crate::Event) to be set.
    Event,
    /// A [`Semaphore`](crate::Semaphore) to have a permit.
    Acquire,
    /// A [`CappedSemaphore`](crate::CappedSemaphore) to have room for a permit.
    Release,
    /// A [`Queue`](crate::Queue) to have an item.
    Item,
    /// A [`Queue`](crate::Queue) to have room.
    Room,
    /// All items of a [`Queue`](crate::Queue) to be marked done.
    TasksDone,
    /// A member of a [`JoinSet`](crate::JoinSet) to end.
    JoinNext,
    /// The first of several operations, in `select!`.
    Select,
    /// A [`Mutex`](crate::sync::Mutex) to be unlocked.
    Lock,
    /// A [`RwLock`](crate::sync::RwLock), for reading.
    ReadLock,
    /// A [`RwLock`](crate::sync::RwLock), for writing.
    WriteLock,
    /// A [`Condvar`](crate::sync::Condvar) to be notified.
    Notify,
    /// The other waiters at a [`Barrier`](crate::sync::Barrier).
    Barrier,
    /// An initialization that is already running.
    Once,
    /// A message in a channel.
    Receive,
    /// Room in a channel, or a receiver.
    Send,
    /// A future to be ready.
    Future,
    /// A function of the C library that has been replaced, on a descriptor.
    CallOnDescriptor(&'static &'static str, i32),
    /// A function of the C library that has been replaced, on an object in memory.
    CallOnObject(&'static &'static str, usize),
    /// Anything else, described by the caller. For crates that build on this one.
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
            Self::PoolSlot => f.write_str("a free slot in a pool"),
            Self::PoolIdle => f.write_str("the end of a pool's members"),
            Self::Result => f.write_str("the next result of a pool"),
            Self::Event => f.write_str("an event"),
            Self::Acquire => f.write_str("a permit of a semaphore"),
            Self::Release => f.write_str("room for a permit in a semaphore"),
            Self::Item => f.write_str("an item of a queue"),
            Self::Room => f.write_str("room in a queue"),
            Self::TasksDone => f.write_str("the tasks of a queue to be done"),
            Self::JoinNext => f.write_str("the end of a join set's member"),
            Self::Select => f.write_str("the first of several operations"),
            Self::Lock => f.write_str("a mutex"),
            Self::ReadLock => f.write_str("a lock for reading"),
            Self::WriteLock => f.write_str("a lock for writing"),
            Self::Notify => f.write_str("a condition variable"),
            Self::Barrier => f.write_str("the other waiters at a barrier"),
            Self::Once => f.write_str("an initialization"),
            Self::Receive => f.write_str("a message of a channel"),
            Self::Send => f.write_str("room in a channel"),
            Self::Future => f.write_str("a future"),
            Self::CallOnDescriptor(name, fd) => write!(f, "`{name}` on descriptor {fd}"),
            Self::CallOnObject(name, address) => {
                write!(f, "`{name}` on the object at {address:#x}")
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}
