//! Green threads, with the interface of [`std::thread`].
//!
//! | std | here | differences from std |
//! | --- | ---- | ------- |
//! | `spawn`, `Builder`, `JoinHandle` | the same names | nothing needs to be `Send`; handles stay on their OS thread |
//! | `sleep`, `yield_now`, `park`, `park_timeout`, `current` | the same | they stop the green thread, not the OS thread |
//! | `thread_local!`, `LocalKey` | `green_local!`, [`LocalKey`] | a value for each green thread; the initializer and the destructor may park |
//! | `scope` | [`scope`] | children are killed if the parent unwinds |
//!
//! Only the items that say so park. The code that calls them has no `.await` that would show it.

mod abandon;
pub(crate) mod background;
mod budget;
mod builder;
mod count_guard;
mod exit_hooks;
mod fault;
pub(crate) mod foreign_wait;
mod functions;
mod interrupt;
mod join_error;
pub(crate) mod join_handle;
mod join_set;
mod kill;
mod kill_handle;
mod local;
mod packet;
mod parker;
mod remote;
mod scoped;
#[expect(
    unnameable_types,
    reason = "the traits of `select` name it, and no other crate has a use for it"
)]
mod selection;
mod shield;
mod shutdown;
#[expect(
    clippy::module_inception,
    reason = "the file names are those of std::thread"
)]
mod thread;
mod timeout;
mod unparker;
mod unwinding;
pub(crate) mod wait_queue;
mod with_identity;

pub use builder::Builder;
pub use exit_hooks::ExitHookId;
pub(crate) use functions::spawn_at;
pub use functions::{
    current, park, park_timeout, sleep, spawn, spawn_after, spawn_after_local, spawn_n, yield_now,
};
pub use interrupt::is_kill;
pub use join_error::{Abandoned, JoinError, Killed, Result};
pub use join_handle::JoinHandle;
pub use join_set::{AsCompleted, JoinSet, as_completed, wait_all};
pub use kill_handle::KillHandle;
pub use local::{AccessError, LocalKey};
pub use remote::{Remote, RemoteJoinHandle};
pub use scoped::{Scope, ScopedJoinHandle, scope};
pub use shield::shield;
pub use shutdown::shutdown;
pub use std::thread::available_parallelism;
pub use thread::{Thread, ThreadId};
pub use timeout::{Elapsed, timeout, timeout_at};
pub use unparker::Unparker;
pub use unwinding::panicking;

pub(crate) use abandon::unless_abandoned;
pub(crate) use budget::{charge, charge_failure, charge_try, charge_without_yield};
pub(crate) use count_guard::CountGuard;
pub(crate) use interrupt::{
    interrupted_error, is_destructor_timed_out, wait, wait_or_fail, yield_uninterrupted,
};
pub(crate) use parker::{Parker, deadline_after_any_thread, now_any_thread, park_while};
pub(crate) use selection::{SelectToken, Selection};
pub(crate) use shield::shield_any_thread;
pub(crate) use timeout::timeout_never;
pub(crate) use unwinding::{catch, rethrow};
pub(crate) use wait_queue::{WaitEntry, WaitQueue};
pub(crate) use with_identity::with_identity;
