//! Wake-ups that come from other OS threads.
//!
//! Each scheduler has one inbox. Another OS thread pushes the handle of the green thread onto a
//! lock-free stack and, if that was empty, notifies the poller once; the owner takes the whole stack
//! at a time. Whoever finds the stack not empty need not notify: the one who found it empty has, or
//! is about to, and the owner takes what is there after the poller has woken it.
//!
//! A handle is linked at most once (`queued`), whatever the number of wake-ups: they say the same.
//!
//! `[owner-thread]` `Handle::green` is read and written by the owner alone; the rest of a handle is
//! for everybody.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use polling::Poller;

use crate::green::{GreenRef, GreenThread, Identity};

/// What the rest of the world knows of a green thread.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) identity: Identity,
    pub(crate) name: Option<Box<str>>,
    pub(crate) inbox: Arc<Inbox>,
    /// Null when it has ended. `[owner-thread]`
    green: AtomicPtr<GreenThread>,
    queued: AtomicBool,
    /// Somebody outside has called `unpark` on it, and not merely woken it.
    token: AtomicBool,
    next: AtomicPtr<Self>,
}

impl Handle {
    pub(crate) fn new(green: GreenRef, inbox: Arc<Inbox>) -> Self {
        Self {
            name: green.name().map(Box::from),
            green: AtomicPtr::new(green.as_ptr()),
            ..Self::ended(green.identity(), inbox)
        }
    }

    /// The handle of a green thread that is no more and had no name.
    pub(crate) fn ended(identity: Identity, inbox: Arc<Inbox>) -> Self {
        Self {
            identity,
            name: None,
            inbox,
            green: AtomicPtr::new(ptr::null_mut()),
            queued: AtomicBool::new(false),
            token: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The green thread, while it lives.
    ///
    /// # Safety
    ///
    /// The caller runs on the OS thread that owns the green thread.
    pub(crate) unsafe fn green(&self) -> Option<GreenRef> {
        let green = ptr::NonNull::new(self.green.load(Ordering::Relaxed))?;
        // SAFETY: it is nulled before the green thread is gone, by this very OS thread (caller).
        Some(unsafe { GreenRef::new(green) })
    }

    /// Called by the owner when the green thread ends.
    pub(crate) fn forget_green(&self) {
        self.green.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// As [`Self::send`], and has the next `thread::park` return at once.
    pub(crate) fn send_token(self: &Arc<Self>) {
        self.token.store(true, Ordering::Release);
        self.send();
    }

    /// Whether a token was sent since the last time. Called by the owner.
    pub(crate) fn take_token(&self) -> bool {
        self.token.load(Ordering::Relaxed) && self.token.swap(false, Ordering::AcqRel)
    }

    /// Sends a wake-up, from any OS thread: whatever the green thread waits for, it looks again.
    pub(crate) fn send(self: &Arc<Self>) {
        if self.inbox.is_closed() || self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let inbox = Arc::clone(&self.inbox);
        let new = Arc::into_raw(Arc::clone(self)).cast_mut();
        let mut head = inbox.head.load(Ordering::Relaxed);
        loop {
            // Nobody else touches the link of a handle that this call has marked as queued.
            self.next.store(head, Ordering::Relaxed);
            match inbox
                .head
                .compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        if head.is_null() {
            inbox.notify();
        }
    }
}

/// The receiving end: one for each scheduler, and what else of it is shared between OS threads.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) poller: Poller,
    head: AtomicPtr<Handle>,
    /// How many others hold the means to wake somebody here.
    outsiders: AtomicUsize,
    /// The scheduler is gone.
    closed: AtomicBool,
    /// Registrations whose descriptor was closed on another OS thread.
    pub(crate) stale: std::sync::Mutex<Vec<usize>>,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            head: AtomicPtr::new(ptr::null_mut()),
            outsiders: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            stale: std::sync::Mutex::new(Vec::new()),
        })
    }

    /// Wakes the OS thread if it waits in the poller, now or next.
    pub(crate) fn notify(&self) {
        // The only failure is a full counter of notifications, which wakes as well.
        drop(self.poller.notify());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// All handles that were sent, first come first.
    ///
    /// # Safety
    ///
    /// The caller is the OS thread that owns this inbox.
    pub(crate) unsafe fn take(&self) -> Vec<Arc<Handle>> {
        let mut at = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut all = Vec::new();
        while !at.is_null() {
            // SAFETY: `send` made it of an `Arc`, which is ours now: the swap took it off the list.
            let handle = unsafe { Arc::from_raw(at) };
            at = handle.next.load(Ordering::Relaxed);
            // From here on it may be sent anew. What its sender did before is visible: both sides
            // of this flag are acquire and release.
            handle.queued.swap(false, Ordering::AcqRel);
            all.push(handle);
        }
        all.reverse();
        all
    }

    pub(crate) fn add_outsider(&self) {
        self.outsiders.fetch_add(1, Ordering::Relaxed);
    }

    /// An outsider that leaves may have been the last hope of a parked green thread.
    pub(crate) fn remove_outsider(&self) {
        if self.outsiders.fetch_sub(1, Ordering::Release) == 1 && !self.is_closed() {
            self.notify();
        }
    }

    pub(crate) fn outsiders(&self) -> usize {
        self.outsiders.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // A handle in the list keeps the inbox alive.
        debug_assert!(self.is_empty());
    }
}
