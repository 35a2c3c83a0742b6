//! `timeout`: runs a block of code with a deadline.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

use super::interrupt::{Interrupt, scope_addr};
use super::parker::deadline_after_any_thread;
use super::unwinding::{catch, panicking, rethrow};
use crate::fork;
use crate::green::TimeoutScope;
use crate::sched;

/// Error returned by [`timeout`] and [`timeout_at`] when the deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has elapsed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f`, and unwinds it from where it is parked if it has not returned after `duration`.
///
/// The deadline applies to every call inside `f` that parks, even in code that knows only `Read`
/// and `Write` and nothing of evy. Destructors run, and may park.
///
/// Timeouts nest, and each one ends only its own block. If what `f` waits for happens at the same
/// time as the deadline, `f` gets what it waits for. A block that never parks is not interrupted,
/// even by a duration of zero. The exception is a loop over operations that never have to park: it is
/// interrupted some operations after the deadline. A duration that the clock cannot represent, such
/// as [`Duration::MAX`], never passes.
///
/// A timeout is a panic, so a `catch_unwind` inside `f` can swallow it. It is thrown again then, at
/// the next parking point in `f`, and at each one after that, until `f` returns. If `f` returns a
/// value nevertheless, `timeout` returns that value.
///
/// A timeout that reaches an `extern "C"` function of Rust aborts the process, as any panic does.
/// This is the case if a C library calls back into Rust and the callback parks. Call
/// [`shield`](super::shield) around the call of the C library, or in the callback.
///
/// Nothing unwinds from a wait of an unchanged library, with the feature `patch`. Such a wait on a
/// socket returns an error, and others last to their end. The next call of evy then unwinds.
///
/// A destructor that runs while its green thread unwinds is not unwound once more. A timeout that it
/// opens ends only waits in calls that can return an error; they return `TimedOut`. `timeout` then
/// returns what `f` returns.
///
/// With `panic = "abort"` a timeout cannot unwind. It then ends only waits in calls that can return
/// an error.
///
/// Parks where `f` parks.
///
/// # Errors
///
/// Returns [`Elapsed`] if the deadline passed.
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
    run_until(deadline_after_any_thread(duration), f)
}

/// Runs `f` like [`timeout`], with a deadline instead of a duration.
///
/// Parks where `f` parks.
///
/// # Errors
///
/// Returns [`Elapsed`] if the deadline passed.
pub fn timeout_at<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    run_until(Some(deadline), f)
}

/// Runs `f` in a timeout scope without a deadline. Other code may set its deadline later.
pub(crate) fn timeout_never<T>(f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    run_until(None, f)
}

fn run_until<T>(deadline: Option<Instant>, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    if sched::if_current().is_none() && fork::is_child() {
        // Nothing waits here, and each call says why.
        return Ok(f());
    }
    let me = sched::current().running();
    let scope = TimeoutScope {
        deadline: Cell::new(deadline),
        outer: me.timeout_scopes.get(),
        shields: me.shields.get(),
        in_destructor: panicking(),
        is_overdue: Cell::new(false),
    };
    let address = ptr::from_ref(&scope);
    me.timeout_scopes.set(address);
    me.update_interrupt_pending();
    // A panic is caught, so that the scope is unlinked before its frame is left, whatever `f` does.
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
