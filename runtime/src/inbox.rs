//! Wake-ups that come from other OS threads.
//!
//! Each scheduler has one inbox. Another OS thread sends the handle of the green thread, by the
//! protocol of [`mailbox`](crate::mailbox), and notifies the poller that the owner waits in.
//!
//! `[owner-thread]` `RemoteHandle::green` is read and written by the owner alone; the rest of a handle is
//! for everybody.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use polling::Poller;

use crate::green::{GreenRef, GreenThread, Identity};
use crate::mailbox::{Link, Linked, Mailbox};

/// What the rest of the world knows of a green thread.
#[derive(Debug)]
pub(crate) struct RemoteHandle {
    pub(crate) identity: Identity,
    pub(crate) name: Option<Box<str>>,
    pub(crate) inbox: Arc<SchedulerHandle>,
    /// Null when it has ended. `[owner-thread]`
    green: AtomicPtr<GreenThread>,
    /// Its token: somebody outside has called `unpark` on it, and not merely woken it.
    link: Link<Self>,
}

impl Linked for RemoteHandle {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl RemoteHandle {
    pub(crate) fn new(green: GreenRef, inbox: Arc<SchedulerHandle>) -> Self {
        Self {
            name: green.name().map(Box::from),
            green: AtomicPtr::new(green.as_ptr()),
            ..Self::ended(green.identity(), inbox)
        }
    }

    /// The handle of a green thread that is no more and had no name.
    pub(crate) fn ended(identity: Identity, inbox: Arc<SchedulerHandle>) -> Self {
        Self {
            identity,
            name: None,
            inbox,
            green: AtomicPtr::new(ptr::null_mut()),
            link: Link::new(),
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
        self.link.put_token();
        self.send();
    }

    /// Whether a token was sent since the last time. Called by the owner.
    pub(crate) fn take_token(&self) -> bool {
        self.link.take_token()
    }

    /// Sends a wake-up, from any OS thread: whatever the green thread waits for, it looks again.
    pub(crate) fn send(self: &Arc<Self>) {
        self.inbox.mailbox.send(self, || self.inbox.notify());
    }
}

/// The receiving end: one for each scheduler, and what else of it is shared between OS threads.
#[derive(Debug)]
pub(crate) struct SchedulerHandle {
    pub(crate) poller: Poller,
    /// Closed when the scheduler is gone.
    pub(crate) mailbox: Mailbox<RemoteHandle>,
    /// Registrations whose descriptor was closed on another OS thread.
    pub(crate) deregistered_remotely: std::sync::Mutex<Vec<usize>>,
}

impl SchedulerHandle {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            mailbox: Mailbox::new(),
            deregistered_remotely: std::sync::Mutex::new(Vec::new()),
        })
    }

    /// Wakes the OS thread if it waits in the poller, now or next.
    pub(crate) fn notify(&self) {
        // The only failure is a full counter of notifications, which wakes as well.
        drop(self.poller.notify());
    }
}

impl Drop for SchedulerHandle {
    fn drop(&mut self) {
        // A handle in the mailbox keeps the inbox alive.
        debug_assert!(self.mailbox.is_empty());
    }
}
