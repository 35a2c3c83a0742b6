//! The `join` arm, for the handles of this OS thread and for those of others.

use std::fmt;
use std::ops::Deref;
use std::ptr;

use super::arms::{Arm, SelectHandle};
use super::queue_entry::QueueEntry;
use crate::thread::{JoinHandle, RemoteJoinHandle, Result, SelectToken};

/// Returns an arm that is ready when the green thread has finished. Its output is the result.
///
/// The result can be taken once: a second `join` arm of the same handle panics, like
/// [`JoinHandle::take_result`].
pub fn join<H: AnyJoinHandle>(handle: &H) -> H::Join<'_> {
    handle.join_arm()
}

/// What the `join` arm of [`select!`](crate::select!) can wait for: a [`JoinHandle`], a
/// [`RemoteJoinHandle`], or a smart pointer to one.
pub trait AnyJoinHandle {
    /// The type of the arm.
    type Join<'a>: Arm
    where
        Self: 'a;

    #[doc(hidden)]
    fn join_arm(&self) -> Self::Join<'_>;
}

impl<P: Deref<Target: AnyJoinHandle>> AnyJoinHandle for P {
    type Join<'a>
        = <P::Target as AnyJoinHandle>::Join<'a>
    where
        P: 'a;

    fn join_arm(&self) -> Self::Join<'_> {
        (**self).join_arm()
    }
}

impl<T> AnyJoinHandle for JoinHandle<T> {
    type Join<'a>
        = Join<'a, T>
    where
        T: 'a;

    fn join_arm(&self) -> Join<'_, T> {
        Join {
            handle: self,
            entry: QueueEntry::new(self.joiners(), None),
        }
    }
}

impl<T> AnyJoinHandle for RemoteJoinHandle<T> {
    type Join<'a>
        = RemoteJoin<'a, T>
    where
        T: 'a;

    fn join_arm(&self) -> RemoteJoin<'_, T> {
        RemoteJoin { handle: self }
    }
}

/// The arm returned by [`join`] for a [`JoinHandle`].
pub struct Join<'a, T> {
    handle: &'a JoinHandle<T>,
    entry: QueueEntry<'a, ()>,
}

impl<T> SelectHandle for Join<'_, T> {
    unsafe fn register(&self, token: SelectToken) -> bool {
        // SAFETY: the same conditions, which the caller keeps.
        unsafe { self.entry.register(token) };
        true
    }

    fn unregister(&self) {
        self.entry.unregister();
    }
}

impl<T> Arm for Join<'_, T> {
    type Output = Result<T>;

    fn try_select(&self) -> Option<Self::Output> {
        self.handle.is_finished().then(|| self.handle.take_result())
    }
}

/// The arm returned by [`join`] for a [`RemoteJoinHandle`].
pub struct RemoteJoin<'a, T> {
    handle: &'a RemoteJoinHandle<T>,
}

impl<T> RemoteJoin<'_, T> {
    /// Identifies the arm among the joiners, while it is registered and does not move.
    fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl<T> SelectHandle for RemoteJoin<'_, T> {
    fn is_shared(&self) -> bool {
        true
    }

    // The end of the green thread unparks this one without a selection. Then all arms are tried
    // again.
    unsafe fn register(&self, _: SelectToken) -> bool {
        self.handle.add_joiner(self.key())
    }

    fn unregister(&self) {
        self.handle.remove_joiner(self.key());
    }
}

impl<T> Arm for RemoteJoin<'_, T> {
    type Output = Result<T>;

    fn try_select(&self) -> Option<Self::Output> {
        self.handle.is_finished().then(|| self.handle.take_result())
    }
}

impl<T> fmt::Debug for Join<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for RemoteJoin<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoin").finish_non_exhaustive()
    }
}
