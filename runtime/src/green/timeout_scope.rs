//! The record of one open `timeout` call.

use std::cell::Cell;
use std::time::Instant;

/// One open `timeout`. It lies in a frame of the green thread, and the control block links it.
#[derive(Debug)]
pub(crate) struct TimeoutScope {
    /// `None` never passes.
    pub(crate) deadline: Cell<Option<Instant>>,
    /// The scope around this one; null for the outermost.
    pub(crate) outer: *const Self,
    /// The number of shields when the scope was opened. A shield opened later defers it.
    pub(crate) shields: u32,
    /// Whether the scope was opened by a destructor, while its green thread was unwinding.
    pub(crate) in_destructor: bool,
    /// Whether the budget was spent once since the deadline, and nothing was thrown then.
    pub(crate) is_overdue: Cell<bool>,
}

impl TimeoutScope {
    /// Returns the scope that expires first among `innermost` and those around it, skipping the ones
    /// that a shield defers and those that `filter` rejects. Among equal deadlines the outer scope
    /// comes first.
    ///
    /// # Safety
    ///
    /// `innermost` is null or the innermost linked scope of a green thread. Each linked scope lies
    /// in a frame of that green thread, which unlinks it before the frame ends (`thread::timeout`);
    /// no scope is unlinked while the result is in use.
    pub(super) unsafe fn first_to_expire<'a>(
        innermost: *const Self,
        shields: u32,
        filter: impl Fn(&Self) -> bool,
    ) -> Option<&'a Self> {
        let mut first: Option<&Self> = None;
        let mut next = innermost;
        // SAFETY: null or linked, so valid (caller).
        while let Some(scope) = unsafe { next.as_ref() } {
            next = scope.outer;
            if scope.shields < shields || scope.deadline.get().is_none() || !filter(scope) {
                continue;
            }
            if first.is_none_or(|first| scope.deadline.get() <= first.deadline.get()) {
                first = Some(scope);
            }
        }
        first
    }
}
