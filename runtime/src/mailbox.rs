//! `Mailbox`: messages from any OS thread to the owner of the mailbox.
//!
//! The remote handles of [`green`](crate::green) are built on this protocol. Messages are kept on a
//! lock-free stack, and the owner always takes the whole stack. A message is on the stack at most
//! once (its flag `queued`), however many OS threads send it, because all of them would send the
//! same thing.
//!
//! | operation | finds                 | does                                            |
//! | --------- | --------------------- | ----------------------------------------------- |
//! | `send`    | `queued` set          | nothing                                         |
//! | `send`    | an empty stack        | pushes the message, and notifies the owner      |
//! | `send`    | messages on the stack | pushes the message                              |
//! | `send`    | `CLOSED`              | drops the message                               |
//! | `take`    | any stack             | empties it, and clears `queued` of each message |
//! | `close`   | any stack             | the same, but leaves `CLOSED` permanently       |
//!
//! A sender that finds `queued` set need not push: the owner will take the message, and will then
//! see everything that this sender did before. A sender that finds messages on the stack need not
//! notify: the sender that found the stack empty has notified the owner, or is about to.
//!
//! The owner takes the stack, and waits for a notification if it was empty. If a message is pushed
//! in between, its sender finds the stack empty. A notification follows, and the wait ends at once.
//!
//! `CLOSED` is a value of the head, not a separate flag. With a separate flag, a message could be
//! pushed after the last take, and would never be found.

use std::ptr;

use crate::primitive::{Arc, AtomicBool, AtomicPtr, AtomicUsize, Ordering, const_fn_unless_loom};

/// A message that can be sent to a [`Mailbox`].
pub(crate) trait Linked: Sized {
    /// Returns the link of this message. It is always the same one, and no other message uses it.
    fn link(&self) -> &Link<Self>;
}

/// The part of a message that the mailbox uses.
#[derive(Debug)]
pub(crate) struct Link<T> {
    /// Set by the sender that pushes the message, and cleared by the owner that takes it.
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

    /// Sets the token of the message, for the owner to take when it next receives the message.
    pub(crate) fn put_token(&self) {
        // A swap, not a store. A store would hide from the owner what other senders did before they
        // set the token.
        self.token.swap(true, Ordering::Release);
    }

    /// Clears the token, and returns whether it was set. Called by the owner.
    pub(crate) fn take_token(&self) -> bool {
        self.token.load(Ordering::Relaxed) && self.token.swap(false, Ordering::AcqRel)
    }
}

/// The receiving end of the protocol.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    head: AtomicPtr<T>,
    /// The number of senders: handles with which other OS threads can send at any time, such
    /// as an `Unparker`.
    senders: AtomicUsize,
}

impl<T: Linked> Mailbox<T> {
    const_fn_unless_loom! {
        pub(crate) fn new() -> Self {
            Self {
                head: AtomicPtr::new(ptr::null_mut()),
                senders: AtomicUsize::new(0),
            }
        }
    }

    /// An address that no `T` has: a link contains pointers, so a `T` is aligned to more than one
    /// byte.
    const CLOSED: *mut T = ptr::without_provenance_mut(1);

    /// Sends `message`, from any OS thread. Calls `notify` if the owner must be notified; `notify`
    /// must end the owner's current or next wait.
    pub(crate) fn send(&self, message: &Arc<T>, notify: impl FnOnce()) {
        let link = message.link();
        if link.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let new = Arc::into_raw(Arc::clone(message)).cast_mut();
        let mut head = self.head.load(Ordering::Relaxed);
        while head != Self::CLOSED {
            // Nothing else uses this link now, because this call has set `queued`.
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
        // SAFETY: the pointer came from an `Arc` above. Its reference still belongs to this call,
        // because it was not pushed.
        drop(unsafe { Arc::from_raw(new) });
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        head.is_null() || head == Self::CLOSED
    }

    /// Takes all messages, in FIFO order, or returns `None` if there are none, as is usual. Called
    /// by the owner.
    #[inline]
    pub(crate) fn take(&self) -> Option<Vec<Arc<T>>> {
        (!self.is_empty()).then(|| self.take_and_leave(ptr::null_mut()))
    }

    /// Takes all messages like [`take`](Self::take), and closes the mailbox. Messages sent from
    /// then on are dropped.
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
            // SAFETY: `send` made the pointer from an `Arc`. Its reference belongs to this call
            // now, because the swap took it off the stack.
            let message = unsafe { Arc::from_raw(at) };
            let link = message.link();
            at = link.next.load(Ordering::Relaxed);
            // From here on the message may be sent again. Everything that a sender did before it
            // found `queued` set is visible here, because both sides access the flag with acquire
            // and release.
            link.queued.swap(false, Ordering::AcqRel);
            all.push(message);
        }
        all.reverse();
        all
    }

    /// Counts a new sender.
    pub(crate) fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a sender from the count. Calls `notify` if it was the last one, so that the owner
    /// can detect a deadlock: no other OS thread can wake it any more.
    pub(crate) fn remove_sender(&self, notify: impl FnOnce()) {
        if self.senders.fetch_sub(1, Ordering::Release) == 1 && !self.is_closed() {
            notify();
        }
    }

    pub(crate) fn senders(&self) -> usize {
        self.senders.load(Ordering::Acquire)
    }

    /// Whether the mailbox is empty and no sender is left. Called by the owner.
    pub(crate) fn is_disconnected(&self) -> bool {
        // The order matters: a handle may have sent something just before it was removed.
        self.senders() == 0 && self.is_empty()
    }
}
