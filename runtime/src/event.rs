//! `Event`: one value, or one error, for any number of waiters.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::green::WaitReason;
use crate::sched;
use crate::thread::WaitQueue;

/// Something that happens once: whoever waits for it, before or after, gets the value that it was
/// sent with, or the error.
///
/// It stays on its OS thread. A clone is another handle to the same event.
///
/// # Examples
///
/// ```
/// use evy::Event;
///
/// let event = Event::new();
/// let waiters: Vec<_> = (0..3)
///     .map(|_| {
///         let event = event.clone();
///         evy::spawn(move || event.wait())
///     })
///     .collect();
/// event.send("go").unwrap();
/// for waiter in waiters {
///     assert_eq!(waiter.join().unwrap().unwrap(), "go");
/// }
/// ```
pub struct Event<T>(Rc<State<T>>);

struct State<T> {
    sent: RefCell<Option<Sent<T>>>,
    /// Each gets what was sent into its slot: the event may be reset before it runs.
    waiters: WaitQueue<Sent<T>>,
}

/// Shared, so that the program's `clone` never runs while the event is borrowed.
pub(crate) type Sent<T> = Rc<Result<T, EventError>>;

impl<T: Clone> Event<T> {
    /// An event that has not happened yet. Never parks.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::new(State {
            sent: RefCell::new(None),
            waiters: WaitQueue::with_slots(),
        }))
    }

    /// Lets it happen: all who wait get a clone of `value`, first come first woken, and so does
    /// everybody who asks later. Never parks.
    ///
    /// # Errors
    ///
    /// [`AlreadySent`] if it has happened, and was not [`reset`](Self::reset).
    pub fn send(&self, value: T) -> Result<(), AlreadySent> {
        self.complete(Ok(value))
    }

    /// As [`send`](Self::send), with an error for everybody.
    ///
    /// # Errors
    ///
    /// As `send`.
    pub fn send_error(
        &self,
        error: impl Into<Box<dyn Error + Send + Sync + 'static>>,
    ) -> Result<(), AlreadySent> {
        self.complete(Err(EventError(Arc::from(error.into()))))
    }

    fn complete(&self, result: Result<T, EventError>) -> Result<(), AlreadySent> {
        let Self(state) = self;
        if self.is_set() {
            return Err(AlreadySent(()));
        }
        let sent = Rc::new(result);
        state.sent.replace(Some(Rc::clone(&sent)));
        while state.waiters.wake_one_with(Rc::clone(&sent)).is_ok() {}
        Ok(())
    }

    /// Parks until it has happened, and returns what it was sent with.
    ///
    /// # Errors
    ///
    /// [`EventError`] if it was [`send_error`](Self::send_error).
    ///
    /// # Panics
    ///
    /// On the root green thread, when nothing can wake anybody any more.
    pub fn wait(&self) -> Result<T, EventError> {
        loop {
            if let Some(sent) = self.wait_until(None) {
                return sent;
            }
        }
    }

    /// As [`wait`](Self::wait), but parks for `timeout` at most; `None` if it has not happened then.
    ///
    /// # Panics
    ///
    /// As `wait`.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<T, EventError>> {
        self.wait_until(sched::deadline_after(timeout))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<Result<T, EventError>> {
        if let Some(sent) = self.sent() {
            return Some(sent);
        }
        let waiters = &self.0.waiters;
        let slot = waiters.wait_with_slot(WaitReason::Event, deadline, None, drop);
        slot.ok().flatten().map(|sent| Result::clone(&sent))
    }

    /// What it was sent with, if it was. Never parks.
    pub(crate) fn sent(&self) -> Option<Result<T, EventError>> {
        let sent = self.0.sent.borrow().as_ref().map(Rc::clone);
        sent.map(|sent| Result::clone(&sent))
    }

    /// Makes it one that has not happened yet. Never parks.
    ///
    /// # Errors
    ///
    /// [`NotSent`] if it is one.
    pub fn reset(&self) -> Result<(), NotSent> {
        let sent = self.0.sent.take();
        sent.map(drop).ok_or(NotSent(()))
    }
}

impl<T> Event<T> {
    /// Whether it has happened. Never parks.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.sent.borrow().is_some()
    }

    pub(crate) fn waiters(&self) -> &WaitQueue<Sent<T>> {
        &self.0.waiters
    }
}

impl<T: Clone> Default for Event<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .field("waiting", &self.0.waiters.len())
            .finish()
    }
}

/// An event was sent with an error; each waiter gets a share of it.
#[derive(Clone, Debug)]
pub struct EventError(Arc<dyn Error + Send + Sync + 'static>);

impl EventError {
    /// The error itself, if it is an `E`.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for EventError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// An event happens once; [`Event::reset`] makes it one that has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadySent(());

impl fmt::Display for AlreadySent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event was sent already: reset it first")
    }
}

impl Error for AlreadySent {}

/// Only an event that was sent can be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSent(());

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event was not sent, so there is nothing to reset")
    }
}

impl Error for NotSent {}
