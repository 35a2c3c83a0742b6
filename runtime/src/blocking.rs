//! `unblock`: runs blocking code on a helper OS thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::Result as Caught;

use crate::green::WaitReason;
use crate::primitive::lock;
use crate::sched;
use crate::thread::{Parker, charge, current, park_while, rethrow};

/// Runs `f` on a helper OS thread and returns its result: for file systems, drivers that
/// block, and long computations.
///
/// If the caller is killed or times out meanwhile, `f` still runs to its end, and its result is
/// dropped.
///
/// Parks until `f` has returned.
///
/// # Panics
///
/// Panics if `f` panics, with the same payload.
///
/// # Examples
///
/// ```
/// let len = evy::unblock(|| std::fs::read("Cargo.toml").map(|bytes| bytes.len()))?;
/// assert!(len > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "spawn_blocking")]
pub fn unblock<T, F>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // The helper may be done before the caller parks.
    charge(|| false);
    let slot: Arc<Mutex<Option<Caught<T>>>> = Arc::default();
    let result = Arc::clone(&slot);
    // While the helper holds it, the wait does not count as a deadlock.
    let unparker = current().unparker();
    let parker = Parker::current();
    blocking::unblock(move || {
        let outcome = catch_unwind(AssertUnwindSafe(f));
        *lock(&result) = Some(outcome);
        parker.unpark();
        drop(unparker);
    })
    .detach();
    while !park_while(WaitReason::Unblock, None, || lock(&slot).is_none()) {}
    let outcome = lock(&slot)
        .take()
        .expect("the helper has stored the result");
    outcome.unwrap_or_else(|payload| rethrow(payload))
}

/// Runs `f` on a helper OS thread like [`unblock`], for callers that can return an error.
///
/// # Errors
///
/// Returns the error of `f`. Returns an error instead of running it where evy cannot start, such as in
/// a child that was created with `fork`.
pub(crate) fn unblock_io<T, F>(f: F) -> io::Result<T>
where
    F: FnOnce() -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    sched::try_current()?;
    unblock(f)
}
