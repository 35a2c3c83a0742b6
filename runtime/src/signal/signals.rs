//! `Signals`: receives some of the signals that are sent to the process.

use std::borrow::Borrow;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::delivery;
use super::inbox::Inbox;
use crate::primitive::Arc;
use crate::sched;
use crate::thread::{charge, charge_try, deadline_after_any_thread};

/// Receives some of the signals that are sent to the process.
///
/// While a `Signals` exists, its signals do not have their usual effect, such as ending the process.
/// They are kept until they are received, so none is lost between two calls. When the last `Signals`
/// for a signal is dropped, the signal has its former effect again.
///
/// Each of several `Signals` receives every signal. It may be shared by green threads and OS threads;
/// then each signal is received by one of them, and waiters are served in FIFO order. A receiver that
/// is killed or times out loses nothing.
///
/// The number of received signals may be lower than the number that was sent, because the system
/// merges a signal with one of the same kind that it has not delivered yet. Signals of different kinds
/// may be received in a different order.
///
/// The first `Signals` of a process starts an OS thread, which wakes receivers.
///
/// # Other signal handlers
///
/// Handlers that were installed before, in whatever way, are still called. Code of the program that
/// registers a signal with the crate `signal-hook`, and so `tokio`, after the first `Signals` for it
/// was created, must not rely on that registration once the last `Signals` is dropped.
///
/// # Examples
///
/// ```
/// use evy::signal::{SIGHUP, SIGTERM, Signals};
/// use std::time::Duration;
///
/// let signals = Signals::new([SIGHUP, SIGTERM])?;
/// # let kill = format!("kill -HUP {}", std::process::id());
/// # let _ = std::process::Command::new("sh").args(["-c", &kill]).status()?;
/// if signals.recv_timeout(Duration::from_secs(5)) == Some(SIGHUP) {
///     println!("reading the configuration again");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Signals {
    signals: Vec<i32>,
    inbox: Arc<Inbox>,
}

impl Signals {
    /// Receives `signals` from now on. A signal that is named twice counts once.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` for a signal that cannot be received: `SIGKILL`, `SIGSTOP`, the signals
    /// of a fault (`SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`), and numbers that are no signals. Also
    /// returns the error of the system if it has no descriptors or no OS thread for evy.
    ///
    /// Returns `Unsupported` in a child that was created with `fork`.
    pub fn new<I>(signals: I) -> io::Result<Self>
    where
        I: IntoIterator,
        I::Item: Borrow<i32>,
    {
        // Makes evy notice a `fork` too.
        sched::try_current()?;
        charge(|| false);
        let mut this = Self {
            signals: Vec::new(),
            inbox: Arc::new(Inbox::new()),
        };
        for signal in signals {
            let signal = *signal.borrow();
            if !this.signals.contains(&signal) {
                delivery::subscribe(signal, &this.inbox)?;
                this.signals.push(signal);
            }
        }
        Ok(this)
    }

    /// Waits for a signal and returns its number.
    ///
    /// A wait for a signal is never reported as a deadlock.
    ///
    /// Parks until there is a signal.
    pub fn recv(&self) -> i32 {
        loop {
            // Without a deadline the wait ends with a signal.
            if let Some(signal) = self.recv_until(None) {
                return signal;
            }
        }
    }

    /// Waits for a signal for at most `timeout`. Returns `None` if there was none.
    ///
    /// Parks until there is a signal, or for `timeout`.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<i32> {
        self.recv_until(deadline_after_any_thread(timeout))
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Option<i32> {
        charge(|| self.inbox.is_empty());
        self.inbox.recv(deadline)
    }

    /// Returns a signal that has been sent already, or `None` if there is none.
    pub fn try_recv(&self) -> Option<i32> {
        charge_try(|| self.inbox.try_recv(), Option::is_none)
    }

    /// Returns an iterator over the signals. It never ends.
    ///
    /// Its `next` parks until there is a signal.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self)
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for signal in &self.signals {
            delivery::unsubscribe(*signal, &self.inbox);
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").field(&self.signals).finish()
    }
}

/// An iterator over the signals that a [`Signals`] receives, returned by [`Signals::iter`].
///
/// Its `next` parks until there is a signal.
#[derive(Debug)]
pub struct Iter<'a>(&'a Signals);

/// An owning iterator over the signals that a [`Signals`] receives.
///
/// Its `next` parks until there is a signal.
#[derive(Debug)]
pub struct IntoIter(Signals);

impl Iterator for Iter<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        Some(self.0.recv())
    }
}

impl Iterator for IntoIter {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        Some(self.0.recv())
    }
}

impl<'a> IntoIterator for &'a Signals {
    type Item = i32;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Signals {
    type Item = i32;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self)
    }
}
