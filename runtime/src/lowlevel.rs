//! The documented door to the scheduler, for crates that build on it: `evy-net`, `evy-pool`, yours.
//!
//! A tool of coordination needs one thing: a queue of parked green threads to be woken one by one.
//! That is [`WaitQueue`]; with it, no `unsafe` is needed. Descriptors have
//! [`Green`](crate::io::Green).

pub use crate::green::WaitReason;
pub use crate::thread::{WaitQueue, run_inline};

/// A number that tells green threads apart, of the one that runs. Never parks.
#[must_use]
pub fn current_id() -> u64 {
    crate::sched::current().running().id()
}

/// The clock that deadlines are measured by; in a test perhaps one that is held still
/// ([`test`](crate::test)). Never parks.
#[must_use]
pub fn now() -> std::time::Instant {
    crate::sched::current().clock.now()
}

/// Which backend switches: `"native"` for own assembly, `"corosensei"`.
pub const SWITCH_BACKEND: &str = if cfg!(evy_context = "native") {
    "native"
} else {
    "corosensei"
};
