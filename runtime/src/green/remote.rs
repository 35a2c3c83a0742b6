//! The handles with which other OS threads wake a scheduler and its green threads.
//!
//! Another OS thread sends the handle of a green thread to the mailbox of its scheduler, following
//! the protocol of [`mailbox`](crate::mailbox). It also notifies the poller that the scheduler
//! waits in.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use polling::Poller;

use super::identity::Identity;
use super::remote_calls::RemoteCalls;
use crate::fork;
use crate::mailbox::{Link, Linked, Mailbox};

/// The part of a green thread that other OS threads may access.
#[derive(Debug)]
pub(crate) struct RemoteHandle {
    pub(crate) identity: Identity,
    pub(crate) name: Option<Box<str>>,
    pub(crate) scheduler: Arc<SchedulerHandle>,
    /// The address of the control block, or null once the green thread has ended. Only the owner
    /// reads and writes it (`[owner-thread]`), and only the owner knows what it points to.
    address: AtomicPtr<()>,
    /// Its token is set by a remote `unpark`, as opposed to a plain wake-up.
    link: Link<Self>,
}

impl Linked for RemoteHandle {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl RemoteHandle {
    pub(super) fn new(
        identity: Identity,
        name: Option<Box<str>>,
        scheduler: Arc<SchedulerHandle>,
        address: *mut (),
    ) -> Self {
        Self {
            identity,
            name,
            scheduler,
            address: AtomicPtr::new(address),
            link: Link::new(),
        }
    }

    /// Creates the handle of a green thread that has ended and had no name.
    pub(crate) fn ended(identity: Identity, scheduler: Arc<SchedulerHandle>) -> Self {
        Self::new(identity, None, scheduler, ptr::null_mut())
    }

    /// Returns the address of the control block, or `None` if the green thread has ended. Called by
    /// the owner.
    pub(super) fn address(&self) -> Option<NonNull<()>> {
        NonNull::new(self.address.load(Ordering::Relaxed))
    }

    /// Clears the address. Called by the owner when the green thread ends.
    pub(super) fn detach(&self) {
        self.address.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Wakes the green thread from any OS thread, like [`Self::send`], and makes its next
    /// `thread::park` return at once.
    pub(crate) fn send_token(self: &Arc<Self>) {
        self.link.put_token();
        self.send();
    }

    /// Returns `true` if a token was sent since the last call. Called by the owner.
    pub(crate) fn take_token(&self) -> bool {
        self.link.take_token()
    }

    /// Wakes the green thread from any OS thread. It checks again whatever it waits for.
    pub(crate) fn send(self: &Arc<Self>) {
        self.scheduler
            .mailbox
            .send(self, || self.scheduler.notify());
    }
}

/// A green thread that another OS thread spawns.
///
/// The owner calls these methods between two turns, or when its OS thread ends. So they must not
/// park, throw, or run code of the program. What is left of the program's values is returned, to be
/// dropped elsewhere.
pub(crate) trait RemoteSpawn: Send + Sync {
    /// Spawns the green thread.
    fn start(self: Arc<Self>) -> Option<Leftover>;

    /// Kills the green thread.
    fn kill(&self);

    /// Notes that the scheduler has ended before the green thread.
    fn abandon(&self) -> Option<Leftover>;
}

/// A value of the program that is to be dropped.
pub(crate) type Leftover = Box<dyn Send>;

/// What another OS thread asks a scheduler to do.
pub(crate) enum RemoteCall {
    Start(Arc<dyn RemoteSpawn>),
    Kill(Arc<dyn RemoteSpawn>),
}

/// The part of a scheduler that other OS threads share.
#[derive(Debug)]
pub(crate) struct SchedulerHandle {
    pub(crate) poller: Poller,
    /// Closed once the scheduler is gone.
    pub(crate) mailbox: Mailbox<RemoteHandle>,
    /// The number of senders of the mailbox that are `Remote`s.
    remotes: AtomicUsize,
    /// Closed when the scheduler can no longer run green threads.
    pub(crate) calls: RemoteCalls<RemoteCall>,
    /// The keys of registrations that have ended on other OS threads.
    pub(crate) deregistered_remotely: std::sync::Mutex<Vec<usize>>,
}

impl SchedulerHandle {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            mailbox: Mailbox::new(),
            remotes: AtomicUsize::new(0),
            calls: RemoteCalls::new(),
            deregistered_remotely: std::sync::Mutex::new(Vec::new()),
        })
    }

    /// Counts a new `Remote`.
    pub(crate) fn add_remote(&self) {
        self.mailbox.add_sender();
        self.remotes.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a `Remote` from the count. The owner may be waiting for that, as for any sender.
    pub(crate) fn remove_remote(&self) {
        self.remotes.fetch_sub(1, Ordering::Relaxed);
        self.mailbox.remove_sender(|| self.notify());
    }

    /// Whether there are no senders, or all of them are `Remote`s. Called by the owner.
    pub(crate) fn has_no_senders_but_remotes(&self) -> bool {
        self.remotes.load(Ordering::Relaxed) == self.mailbox.senders()
    }

    /// Ends the current or the next wait of the scheduler's OS thread in the poller.
    pub(crate) fn notify(&self) {
        // In a child, the poller is that of the parent.
        if fork::is_child() {
            return;
        }
        // The only failure is a full counter of notifications, which wakes the owner as well.
        drop(self.poller.notify());
    }
}

impl Drop for SchedulerHandle {
    fn drop(&mut self) {
        // A handle in the mailbox keeps this alive.
        debug_assert!(self.mailbox.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, RemoteCall, RemoteHandle, RemoteSpawn, SchedulerHandle};
    use crate::green::Leftover;
    use std::sync::Arc;

    struct Nothing;

    impl RemoteSpawn for Nothing {
        fn start(self: Arc<Self>) -> Option<Leftover> {
            None
        }

        fn kill(&self) {}

        fn abandon(&self) -> Option<Leftover> {
            None
        }
    }

    #[test]
    fn many_calls_are_announced_by_one_message() {
        let identity = Identity {
            id: 0,
            parent: 0,
            site: std::panic::Location::caller(),
        };
        let scheduler = Arc::new(SchedulerHandle::new().expect("a poller"));
        let message = Arc::new(RemoteHandle::ended(identity, Arc::clone(&scheduler)));
        for _ in 0..100 {
            let call = RemoteCall::Start(Arc::new(Nothing));
            assert!(scheduler.calls.push(call).is_ok());
            message.send();
        }
        assert_eq!(scheduler.mailbox.take().map_or(0, |all| all.len()), 1);
        let (first, has_more) = scheduler.calls.take(99);
        assert!(first.len() == 99 && has_more);
        assert_eq!(scheduler.calls.close().len(), 1);
        assert!(
            scheduler
                .calls
                .push(RemoteCall::Kill(Arc::new(Nothing)))
                .is_err()
        );
    }
}
