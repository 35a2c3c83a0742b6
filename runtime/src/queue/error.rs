//! The errors of a put, which give the item back.

use std::error::Error;
use std::fmt;

/// Error returned by [`Queue::try_put`](super::Queue::try_put) and
/// [`Queue::put_timeout`](super::Queue::put_timeout) if the queue is full or closed; contains the
/// item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full or closed")
    }
}

impl<T> Error for Full<T> {}

/// Error returned by [`Queue::send`](super::Queue::send) if the queue is closed; contains the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is closed")
    }
}

impl<T> Error for Closed<T> {}

/// Reports a `put` into a closed queue, or a `get` from one that has no items.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn panic_closed() -> ! {
    panic!("the queue is closed")
}
