//! `unblock`: what can only block runs on a helper OS thread.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Result as Caught;

use crate::green::WaitReason;
use crate::thread::{current, park_until};

/// Runs `f` on a helper OS thread and parks until it is done: for file systems, name resolution,
/// long computations.
///
/// If the caller is killed or times out meanwhile, `f` runs on to its end, and its result is
/// dropped.
///
/// # Panics
///
/// If `f` does, with the same payload.
///
/// # Examples
///
/// ```
/// let len = evy_runtime::unblock(|| std::fs::read("Cargo.toml").map(|bytes| bytes.len()))?;
/// assert!(len > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unblock<T, F>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let slot: Arc<Mutex<Option<Caught<T>>>> = Arc::default();
    let result = Arc::clone(&slot);
    let unparker = current().unparker();
    blocking::unblock(move || {
        let outcome = catch_unwind(AssertUnwindSafe(f));
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        unparker.unpark();
    })
    .detach();
    loop {
        // An unpark may have been meant for something else.
        let outcome = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match outcome {
            Some(outcome) => {
                // A token that was meant for `thread::park` may have been used up here. One too many
                // only has a park return early, which it may.
                current().unpark();
                return outcome.unwrap_or_else(|payload| resume_unwind(payload));
            }
            None => park_until(WaitReason::Unblock, None),
        }
    }
}
