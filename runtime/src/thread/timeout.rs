//! A deadline around a block of code.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

use super::interrupt::{Interrupt, scope_addr};
use super::unwinding::{catch, rethrow};
use crate::green::TimeoutScope;
use crate::sched;

/// The time was up before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f`, and unwinds it from where it is parked when `duration` has passed.
///
/// The deadline reaches every call inside that parks, also in code that knows nothing of evy but
/// `Read` and `Write`. Destructors run, and may park. Timeouts nest, and each gives up its own block
/// only. If what `f` waits for and the deadline come together, `f` gets what it waits for. A block
/// that never parks is never interrupted, even by a duration of zero; a duration that the clock
/// cannot express, such as [`Duration::MAX`], never comes.
///
/// Parks where `f` does. With `panic = "abort"` a timeout cannot unwind: it then ends the waits of
/// fallible calls only.
///
/// # Errors
///
/// [`Elapsed`] if the time was up.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let slow = evy::timeout(Duration::from_millis(5), || {
///     evy::sleep(Duration::from_secs(3600));
/// });
/// assert!(slow.is_err());
/// ```
pub fn timeout<T>(duration: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    run_until(sched::deadline_after(duration), f)
}

/// As [`timeout`], until a moment.
///
/// # Errors
///
/// [`Elapsed`] if the moment came first.
pub fn timeout_at<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    run_until(Some(deadline), f)
}

/// Runs `f` in a timeout that never comes, unless it is given a deadline from outside.
pub(crate) fn timeout_never<T>(f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    run_until(None, f)
}

fn run_until<T>(deadline: Option<Instant>, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let me = sched::current().running();
    let scope = TimeoutScope {
        deadline: Cell::new(deadline),
        outer: me.timeout_scopes.get(),
        shields: me.shields.get(),
    };
    let address = ptr::from_ref(&scope);
    me.timeout_scopes.set(address);
    me.update_interrupt_pending();
    // Caught, so the scope is unlinked before its frame goes, whatever `f` does.
    let outcome = catch(f);
    me.timeout_scopes.set(scope.outer);
    me.update_interrupt_pending();
    let payload = match outcome {
        Ok(value) => return Ok(value),
        Err(payload) => payload,
    };
    if payload.downcast_ref() == Some(&Interrupt::Elapsed(scope_addr(address))) {
        return Err(Elapsed(()));
    }
    rethrow(payload)
}
