//! `Event`: one value, or one error, for any number of waiters.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::green::{StaysOnItsOsThread, WaitReason};
use crate::sched;
use crate::thread::{WaitQueue, charge, charge_try, charge_without_yield};

/// A one-time event: every green thread that waits for it gets a clone of the value that was sent,
/// or the error.
///
/// It makes no difference whether a green thread waits before or after the event is set.
///
/// An event stays on its OS thread. A clone is another handle to the same event. Only the methods
/// that say so park.
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
pub struct Event<T> {
    owner: PhantomData<*const StaysOnItsOsThread>,
    state: Rc<State<T>>,
}

struct State<T> {
    sent: RefCell<Option<Sent<T>>>,
    /// Each waiter gets what was sent into its slot, because the event may be reset before the
    /// waiter runs.
    waiters: WaitQueue<Sent<T>>,
}

/// The value or the error that was sent. It is shared, so that the program's `clone` never runs
/// while the event is borrowed.
pub(crate) type Sent<T> = Rc<Result<T, EventError>>;

impl<T> Event<T> {
    fn of(state: Rc<State<T>>) -> Self {
        Self {
            owner: PhantomData,
            state,
        }
    }
}

impl<T: Clone> Event<T> {
    /// Creates an event that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Rc::new(State {
            sent: RefCell::new(None),
            waiters: WaitQueue::with_slots(),
        }))
    }

    /// Sets the event. Current waiters are woken in FIFO order with a clone of `value`; later calls
    /// to [`wait`](Self::wait) return one at once.
    ///
    /// # Errors
    ///
    /// Returns [`AlreadySent`] if the event is set already, and has not been
    /// [`reset`](Self::reset).
    #[doc(alias = "set")]
    pub fn send(&self, value: T) -> Result<(), AlreadySent> {
        self.complete(Ok(value))
    }

    /// Sets the event like [`send`](Self::send), with an error instead of a value.
    ///
    /// # Errors
    ///
    /// Returns an error as `send` does.
    pub fn send_error(
        &self,
        error: impl Into<Box<dyn Error + Send + Sync + 'static>>,
    ) -> Result<(), AlreadySent> {
        self.complete(Err(EventError(Arc::from(error.into()))))
    }

    fn complete(&self, result: Result<T, EventError>) -> Result<(), AlreadySent> {
        let state = &self.state;
        charge_without_yield();
        if self.is_set() {
            return Err(AlreadySent(()));
        }
        let sent = Rc::new(result);
        state.sent.replace(Some(Rc::clone(&sent)));
        while state.waiters.wake_one_with(Rc::clone(&sent)).is_ok() {}
        Ok(())
    }

    /// Waits until the event is set, and returns a clone of its value.
    ///
    /// Parks until then.
    ///
    /// # Errors
    ///
    /// Returns an [`EventError`] if the event was set by [`send_error`](Self::send_error).
    ///
    /// # Panics
    ///
    /// Panics on the root green thread if a deadlock is detected.
    pub fn wait(&self) -> Result<T, EventError> {
        loop {
            if let Some(sent) = self.wait_until(None) {
                return sent;
            }
        }
    }

    /// Waits for the event like [`wait`](Self::wait), for at most `timeout`. Returns `None` if it
    /// is not set in time.
    ///
    /// Parks until the event is set, or for `timeout`.
    ///
    /// # Panics
    ///
    /// Panics as `wait` does.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<T, EventError>> {
        self.wait_until(sched::deadline_after(timeout))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<Result<T, EventError>> {
        charge(|| !self.is_set());
        if let Some(sent) = self.sent() {
            return Some(sent);
        }
        let waiters = &self.state.waiters;
        let slot = waiters.wait_with_slot(WaitReason::Event, deadline, None, drop);
        slot.ok().flatten().map(|sent| Result::clone(&sent))
    }

    /// Returns a clone of the value or the error that was sent, or `None` if the event is not set.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = evy::Event::new();
    /// assert!(event.try_get().is_none());
    /// event.send(7).unwrap();
    /// assert_eq!(event.try_get().unwrap().unwrap(), 7);
    /// ```
    #[doc(alias = "poll")]
    #[must_use]
    pub fn try_get(&self) -> Option<Result<T, EventError>> {
        charge_try(|| self.sent(), Option::is_none)
    }

    pub(crate) fn sent(&self) -> Option<Result<T, EventError>> {
        let sent = self.state.sent.borrow().as_ref().map(Rc::clone);
        sent.map(|sent| Result::clone(&sent))
    }

    /// Resets the event, so that it can be set again.
    ///
    /// Waiters that have been woken already still get what was sent.
    ///
    /// # Errors
    ///
    /// Returns [`NotSent`] if the event is not set.
    pub fn reset(&self) -> Result<(), NotSent> {
        let sent = self.state.sent.take();
        sent.map(drop).ok_or(NotSent(()))
    }
}

impl<T> Event<T> {
    /// Returns `true` if the event is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.state.sent.borrow().is_some()
    }

    pub(crate) fn waiters(&self) -> &WaitQueue<Sent<T>> {
        &self.state.waiters
    }
}

impl<T: Clone> Default for Event<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        Self::of(Rc::clone(&self.state))
    }
}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .field("waiting", &self.state.waiters.len())
            .finish()
    }
}

/// The error passed to [`Event::send_error`]. All waiters share it.
#[derive(Clone, Debug)]
pub struct EventError(Arc<dyn Error + Send + Sync + 'static>);

impl EventError {
    /// Returns a reference to the error if it is of type `E`.
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

/// Error returned by [`Event::send`] and [`Event::send_error`] if the event is already set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadySent(());

impl fmt::Display for AlreadySent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event is already set; reset it first")
    }
}

impl Error for AlreadySent {}

/// Error returned by [`Event::reset`] if the event is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSent(());

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event is not set, so it cannot be reset")
    }
}

impl Error for NotSent {}
