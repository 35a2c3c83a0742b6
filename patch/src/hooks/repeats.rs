//! Calls that are repeated after each error.
//!
//! A green thread that is being killed, or whose enclosing `timeout` has expired, gets an error from each
//! call that would wait. Code that ignores errors repeats its call forever, such as a loop that accepts
//! connections. It must neither keep the others from running nor use all time of a processor.

use std::cell::Cell;
use std::time::Duration;

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd};

/// The number of errors in a row that cost no time.
const QUICK: u32 = 100;
/// How long each of the later ones takes.
const PAUSE: Duration = Duration::from_millis(10);

thread_local! {
    /// The number of errors since a wait has last succeeded.
    static ERRORS: Cell<u32> = const { Cell::new(0) };
}

/// Lets the other green threads run before an error.
pub(super) fn before_error(caller: Caller) {
    let errors = ERRORS.get();
    if errors < QUICK {
        ERRORS.set(errors + 1);
        return caller.yield_now();
    }
    let deadline = caller.deadline_after(PAUSE);
    let pause = || caller.park(WaitReason::Sleep, deadline, Interruption::Waits);
    while pause() != WaitEnd::TimedOut {}
}

/// Notes that a wait has succeeded.
pub(super) fn forget_errors() {
    ERRORS.set(0);
}
