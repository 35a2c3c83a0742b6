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
#[expect(
    unnameable_types,
    reason = "select's traits name it, and nobody outside has a use for it"
)]
mod choice;
mod delayed;
mod functions;
mod group;
mod handle;
mod id;
mod interrupt;
mod join_handle;
mod links;
mod local;
mod parker;
mod scoped;
mod shutdown;
mod timeout;
mod unwinding;
mod waiters;

pub use builder::Builder;
pub use delayed::spawn_after_local;
pub use functions::{current, park, park_timeout, sleep, spawn, spawn_after, spawn_n, yield_now};
pub use group::{AsCompleted, Group, as_completed, wait_all};
pub use handle::{Thread, Unparker};
pub use id::ThreadId;
pub use interrupt::{is_kill, shield};
pub use join_handle::{JoinError, JoinHandle, Killer, LinkId, run_inline};
pub use local::{AccessError, LocalKey};
pub use scoped::{Scope, ScopedJoinHandle, scope};
pub use shutdown::shutdown;
pub use timeout::{Elapsed, timeout, timeout_at};
pub use waiters::WaitQueue;

pub(crate) use choice::{Choice, Ticket};
pub(crate) use parker::{Parker, park_while, shared_deadline_after, yield_if_over_budget};
pub(crate) use timeout::in_open_scope;
pub(crate) use unwinding::{count, unwinding};
pub(crate) use waiters::Entry;

pub(crate) use functions::deadline_after;
pub(crate) use interrupt::{wait, wait_or_fail, yield_now as yield_on};
