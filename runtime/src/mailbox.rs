//! How other OS threads reach the owner of a mailbox: the protocol below [`inbox`](crate::green).
//!
//! What is sent lies on a lock-free stack, each at most once (`queued`), whatever the number of its
//! senders: they all say the same. The owner takes the whole stack at a time.
//!
//! | who comes | finds | does |
//! | --- | --- | --- |
//! | send | `queued` | nothing: the owner will take it, and then see what this sender did before |
//! | send | the stack empty | pushes, and notifies the owner |
//! | send | others on the stack | pushes: whoever found it empty has notified, or is about to |
//! | send | `CLOSED` | nothing |
//! | take | | leaves the stack empty, and resets `queued` of each |
//! | close | | leaves `CLOSED`, for ever |
//!
//! The owner takes, and waits to be notified if there was nothing. If somebody pushes in between, then
//! the stack was empty, so a notification follows, and the wait ends at once.
//!
//! `CLOSED` is a value of the head and not a flag beside it: nothing is pushed after the last take,
//! where nobody would find it.

use std::ptr;

use crate::primitive::{Arc, AtomicBool, AtomicPtr, AtomicUsize, Ordering, const_fn_unless_loom};

/// What can be sent.
pub(crate) trait Linked: Sized {
    /// Always the same one, and its own.
    fn link(&self) -> &Link<Self>;
}

/// What a mailbox needs in each thing that is sent to it.
#[derive(Debug)]
pub(crate) struct Link<T> {
    queued: AtomicBool,
    token: AtomicBool,
    next: AtomicPtr<T>,
}

impl<T> Link<T> {
    const_fn_unless_loom! {
        pub(crate) fn new() -> Self {
            Self {
                queued: AtomicBool::new(false),
                token: AtomicBool::new(false),
                next: AtomicPtr::new(ptr::null_mut()),
            }
        }
    }

    /// Leaves a token for the owner, to find with the next thing that is sent.
    pub(crate) fn put_token(&self) {
        // Not a store: that would hide what the others did who left it before.
        self.token.swap(true, Ordering::Release);
    }

    /// Whether a token was left since the last time. Called by the owner.
    pub(crate) fn take_token(&self) -> bool {
        self.token.load(Ordering::Relaxed) && self.token.swap(false, Ordering::AcqRel)
    }
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    head: AtomicPtr<T>,
    /// How many others hold the means to send.
    remote_handles: AtomicUsize,
}

impl<T: Linked> Mailbox<T> {
    const_fn_unless_loom! {
        pub(crate) fn new() -> Self {
            Self {
                head: AtomicPtr::new(ptr::null_mut()),
                remote_handles: AtomicUsize::new(0),
            }
        }
    }

    /// No address of a `T`: its link has pointers, so it is aligned to more than one byte.
    const CLOSED: *mut T = ptr::without_provenance_mut(1);

    /// Sends, from any OS thread. `notify` ends the owner's wait, the present one or the next.
    pub(crate) fn send(&self, message: &Arc<T>, notify: impl FnOnce()) {
        let link = message.link();
        if link.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let new = Arc::into_raw(Arc::clone(message)).cast_mut();
        let mut head = self.head.load(Ordering::Relaxed);
        while head != Self::CLOSED {
            // Nobody else touches the link of what this call has marked as queued.
            link.next.store(head, Ordering::Relaxed);
            match self
                .head
                .compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) if head.is_null() => return notify(),
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
        // SAFETY: made of an `Arc` above, and still ours: it was not pushed.
        drop(unsafe { Arc::from_raw(new) });
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        head.is_null() || head == Self::CLOSED
    }

    /// All that was sent, first come first; mostly nothing. Called by the owner.
    #[inline]
    pub(crate) fn take(&self) -> Option<Vec<Arc<T>>> {
        (!self.is_empty()).then(|| self.take_and_leave(ptr::null_mut()))
    }

    /// As [`take`](Self::take); what is sent from now on is dropped.
    pub(crate) fn close(&self) -> Vec<Arc<T>> {
        self.take_and_leave(Self::CLOSED)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.head.load(Ordering::Relaxed) == Self::CLOSED
    }

    fn take_and_leave(&self, head: *mut T) -> Vec<Arc<T>> {
        let mut at = self.head.swap(head, Ordering::Acquire);
        let mut all = Vec::new();
        while !at.is_null() && at != Self::CLOSED {
            // SAFETY: `send` made it of an `Arc`, which is ours now: the swap took it off the stack.
            let message = unsafe { Arc::from_raw(at) };
            let link = message.link();
            at = link.next.load(Ordering::Relaxed);
            // From here on it may be sent anew. What a sender did that found it queued is visible:
            // both sides of this flag are acquire and release.
            link.queued.swap(false, Ordering::AcqRel);
            all.push(message);
        }
        all.reverse();
        all
    }

    pub(crate) fn add_remote(&self) {
        self.remote_handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the owner look once more: an outsider that leaves may have been its last hope.
    pub(crate) fn remove_remote(&self, notify: impl FnOnce()) {
        if self.remote_handles.fetch_sub(1, Ordering::Release) == 1 && !self.is_closed() {
            notify();
        }
    }

    /// Whether nothing was sent, and nobody is left who could. Called by the owner.
    pub(crate) fn is_disconnected(&self) -> bool {
        // In this order: who has left may have sent something before.
        self.remote_handles.load(Ordering::Acquire) == 0 && self.is_empty()
    }
}
