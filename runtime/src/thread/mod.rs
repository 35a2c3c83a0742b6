//! Green threads in the shape of [`std::thread`].
//!
//! | std | here | differs |
//! | --- | ---- | ------- |
//! | `spawn`, `Builder`, `JoinHandle` | the same names | nothing needs to be `Send`; handles stay on their OS thread |
//! | `sleep`, `yield_now`, `park`, `park_timeout`, `current` | the same | they stop the green thread, not the OS thread |
//! | `scope` | [`scope`] | children are killed if the parent unwinds |
//!
//! Which of these park says each item. There is no `.await` to see it by.

mod builder;
mod delayed;
mod exit_hooks;
mod functions;
mod handle;
mod id;
mod interrupt;
mod join_handle;
mod join_set;
mod local;
mod parker;
mod scoped;
#[expect(
    unnameable_types,
    reason = "select's traits name it, and nobody outside has a use for it"
)]
mod selection;
mod shutdown;
mod timeout;
mod unwinding;
mod wait_queue;

pub use builder::Builder;
pub use delayed::spawn_after_local;
pub use functions::{current, park, park_timeout, sleep, spawn, spawn_after, spawn_n, yield_now};
pub use handle::{Thread, Unparker};
pub use id::ThreadId;
pub use interrupt::{is_kill, shield};
pub use join_handle::{ExitHookId, JoinError, JoinHandle, KillHandle, run_inline};
pub use join_set::{AsCompleted, JoinSet, as_completed, wait_all};
pub use local::{AccessError, LocalKey};
pub use scoped::{Scope, ScopedJoinHandle, scope};
pub use shutdown::shutdown;
pub use timeout::{Elapsed, timeout, timeout_at};
pub use unwinding::panicking;
pub use wait_queue::WaitQueue;

/// Returns the number of OS threads that can run at the same time; std's function.
pub use std::thread::available_parallelism;

pub(crate) use parker::{Parker, deadline_after_any_thread, park_while, yield_if_over_budget};
pub(crate) use selection::{SelectToken, Selection};
pub(crate) use timeout::timeout_never;
pub(crate) use unwinding::count;
pub(crate) use wait_queue::WaitEntry;

pub(crate) use functions::deadline_after;
pub(crate) use interrupt::{wait, wait_or_fail, yield_scheduler};
