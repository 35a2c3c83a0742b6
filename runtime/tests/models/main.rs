//! Models of what OS threads share: loom tries their interleavings, and the values that each load
//! may see by the memory model.
//!
//! What is tried is what ships. The files of `src` are mounted below this crate root, which provides
//! what they import as `crate::..`: loom's primitives, and waiters that are loom's threads. So
//! nothing is to be switched on, and a protocol cannot drift away from its model.
//!
//! A model here shows that something never happens, in all interleavings with so many preemptions;
//! `LOOM_MAX_PREEMPTIONS` asks for more. A model that fails says how to replay it: see loom's
//! documentation.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod primitive;
mod waiter;

#[path = "../../src/list.rs"]
mod list;

#[path = "../../src/green"]
mod green {
    #[expect(dead_code, unreachable_pub, reason = "mounted for the reasons alone")]
    mod wait_reason;

    pub(crate) use wait_reason::WaitReason;
}

#[path = "../../src/mailbox.rs"]
mod mailbox;

#[path = "../../src/thread"]
mod thread {
    #[expect(unreachable_pub, reason = "private modules hold what traits name")]
    mod selection;

    pub(crate) use crate::waiter::{Parker, deadline_after_any_thread, panicking, park_while};
    pub(crate) use selection::{SelectToken, Selection};
}

#[path = "../../src/sync"]
#[expect(dead_code, unreachable_pub, reason = "not all of it is modelled")]
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
mod of {
    mod channel;
    mod condvar;
    mod mailbox;
    mod mutex;
    mod once;
    mod rwlock;
    mod selection;
    mod wait_list;
}
