//! The green thread as data: its control block, and references to it.
//!
//! ```text
//!   base  -> +----------------+
//!            | GreenThread    |  the control block, at the top of the green thread's own stack
//!            | the closure    |
//!            | frames ...     |
//! ```
//!
//! A spawn therefore touches one page and allocates nothing. A control block stays on its stack
//! permanently and serves one green thread after the other ([`table`]). The control block of a root
//! green thread, which runs on the OS thread's own stack, lies in the scheduler.
//!
//! # Rules of access
//!
//! `[owner-thread]` Only the OS thread that owns a control block touches it. `GreenRef` is not
//! `Send`; other OS threads reach a green thread through its [`RemoteHandle`].
//!
//! `[live-ref]` A `GreenRef` is followed only while its green thread is not `Done`. After that the
//! control block belongs to another green thread, although it stays in place until the scheduler is
//! freed. Every holder of a `GreenRef` drops it before then:
//! 1. the run queue holds only green threads that are `Ready`;
//! 2. a wait node is unlinked before its wait returns or unwinds. So is every other trace of the
//!    wait: the waiter that a source woke last, and the green thread that waits for exits;
//! 3. the timer node is unlinked when its green thread becomes ready;
//! 4. a join packet and a remote handle drop the reference when the green thread ends, and so do
//!    the exit hooks.
//!
//! The thread table keeps references to finished green threads, because it reuses them. Code that
//! iterates over `all_live` while others run must compare ids.
//!
//! `[one-runs]` Exactly one green thread of an OS thread runs, and its state is `Ready`. Only the
//! scheduler changes states, following the table in [`state`].

mod cold;
mod green_ref;
mod green_thread;
mod identity;
mod layout;
mod owner;
mod remote;
mod remote_calls;
mod state;
mod table;
mod timeout_scope;
mod wait_reason;

pub(crate) use cold::Payload;
pub(crate) use green_ref::GreenRef;
pub(crate) use green_thread::GreenThread;
pub(crate) use identity::{Identity, SpawnSite};
pub use layout::MAX_INLINE_CLOSURE;
pub(crate) use layout::{closure_below, fits_on_stack};
pub use owner::StaysOnItsOsThread;
pub(crate) use remote::{Leftover, RemoteCall, RemoteHandle, RemoteSpawn, SchedulerHandle};
pub(crate) use state::{State, Wake};
pub(crate) use table::{ThreadTable, allocate_no_more_warm, is_warm_allocation_over};
pub(crate) use timeout_scope::TimeoutScope;
pub use wait_reason::WaitReason;
