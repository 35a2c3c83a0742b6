//! The runtime below [`evy`](https://docs.rs/evy): context switch, stacks, timers, reactor,
//! scheduler, green threads. Programs use the crate `evy`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// Layer 0: the machine.
mod clock;
mod context;
mod heap;
mod list;
mod primitive;
mod stack;

// Layer 1: the green thread as data, seen from its own OS thread and from others.
mod green;
mod mailbox;

// Layer 2: who is due.
mod reactor;
mod timer;

// Layer 3: the scheduler.
mod sched;

// Layer 4: std's shape.
pub mod io;
pub mod thread;

// Layer 5: on park and unpark alone.
mod block_on;
mod blocking;
mod event;
pub mod fs;
mod queue;
pub mod select;
mod semaphore;
pub mod sync;

// Layer 6: diagnosis.
mod diag;

// Doors.
pub mod lowlevel;
pub mod test;

pub use block_on::block_on;
pub use blocking::unblock;
pub use diag::{HogReport, Watchdog, watchdog};
pub use event::{AlreadySent, Event, EventError, NotSent};
pub use queue::{Full, LifoQueue, PriorityQueue, Queue};
pub use semaphore::{
    BoundedSemaphore, CappedSemaphore, ReleasedTooOften, Semaphore, SemaphoreGuard,
};
pub use thread::{
    Elapsed, JoinSet, as_completed, scope, shield, shutdown, sleep, spawn, spawn_after,
    spawn_after_local, spawn_n, timeout, timeout_at, wait_all, yield_now,
};
