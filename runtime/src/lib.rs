//! The runtime of [`evy`](https://docs.rs/evy): context switch, stacks, timers, reactor, scheduler
//! and green threads. Programs should use the crate `evy`, which re-exports it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// Layer 0: the machine.
mod clock;
mod context;
mod fork;
mod heap;
mod helper_thread;
mod list;
mod mailbox;
mod primitive;
mod pthread_identity;
mod stack;
mod unhooked;

// Layer 1: the green thread as data, both for its own OS thread and for others.
mod green;

// Layer 2: which green threads are due to be woken, by a descriptor or a deadline.
mod reactor;
mod timer;

// Layer 3: the scheduler.
mod sched;

// Layer 4: threads with the API of `std::thread`, and I/O.
pub mod io;
pub mod thread;

// Layer 5: everything built on park and unpark alone.
mod block_on;
mod blocking;
mod event;
pub mod fs;
mod helper_pool;
mod interval;
pub mod os;
pub mod process;
mod queue;
pub mod select;
mod semaphore;
#[cfg(feature = "signal")]
pub mod signal;
pub mod stdio;
pub mod sync;

// Layer 6: diagnostics.
mod diag;

// Public modules outside of the layers, which may import everything.
pub mod lowlevel;
pub mod test;

pub use block_on::block_on;
pub use blocking::unblock;
pub use diag::{HogReport, Watchdog, dump, watchdog};
pub use event::{AlreadySent, Event, EventError, NotSent};
pub use interval::{Interval, interval, interval_at};
pub use queue::{Closed, Full, LifoQueue, PriorityQueue, Queue, QueueIter};
pub use semaphore::{
    BoundedSemaphore, CappedSemaphore, CappedSemaphoreGuard, ReleasedTooOften, Semaphore,
    SemaphoreGuard,
};
pub use thread::{
    Elapsed, JoinSet, as_completed, scope, shield, shutdown, sleep, spawn, spawn_after,
    spawn_after_local, spawn_n, timeout, timeout_at, wait_all, yield_now,
};
