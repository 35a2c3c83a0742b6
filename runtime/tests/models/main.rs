//! Models of the data that OS threads share. Loom tries the interleavings of their accesses, and
//! the values that the memory model allows each load to return.
//!
//! The models run the code that ships. The files of `src` are mounted below this crate root, which
//! provides what they import as `crate::..`: loom's primitives, and waiters that are loom threads.
//! Therefore no feature has to be enabled, and a protocol cannot diverge from its model.
//!
//! A model shows that something never happens in all interleavings with at most a given number of
//! preemptions. `LOOM_MAX_PREEMPTIONS` sets another number. A model that fails prints how to replay
//! it; see loom's documentation.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod primitive;
mod waiter;

#[path = "../../src/list.rs"]
mod list;

#[path = "../../src/green"]
mod green {
    #[expect(unreachable_pub, reason = "mounted only as a marker")]
    mod owner;
    #[expect(
        dead_code,
        unreachable_pub,
        reason = "mounted only for the wait reasons"
    )]
    mod wait_reason;

    pub(crate) mod remote_calls;

    pub(crate) use owner::StaysOnItsOsThread;
    pub(crate) use wait_reason::WaitReason;
}

#[path = "../../src/mailbox.rs"]
mod mailbox;

#[path = "../../src/thread"]
mod thread {
    #[expect(unreachable_pub, reason = "traits name items of private modules")]
    mod selection;

    pub(crate) use crate::waiter::{
        Parker, charge, charge_failure, charge_without_yield, deadline_after_any_thread, panicking,
        park_while, shield_any_thread, unless_abandoned,
    };
    pub(crate) use selection::{SelectToken, Selection};
}

#[path = "../../src/sync"]
#[expect(dead_code, unreachable_pub, reason = "not all of it is modeled")]
mod sync {
    pub(crate) mod barrier;
    pub(crate) mod condvar;
    pub(crate) mod mutex;
    pub(crate) mod once;
    pub(crate) mod poison;
    pub(crate) mod raw_mutex;
    mod raw_rwlock;
    pub(crate) mod rwlock;
    pub(crate) mod wait_list;

    pub(crate) mod mpsc {
        pub(crate) mod channel;
    }
}

/// The models.
#[path = "."]
mod models {
    mod channel;
    mod condvar;
    mod mailbox;
    mod mutex;
    mod once;
    mod remote_calls;
    mod rwlock;
    mod selection;
    mod wait_list;
}
