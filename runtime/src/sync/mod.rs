//! Synchronization primitives with the interface of [`std::sync`]: replace `std::sync` by
//! `evy::sync`.
//!
//! The types are `Send` and `Sync` under the same conditions as std's. They work between the green
//! threads of one OS thread, the green threads of several OS threads, and OS threads that have
//! never used evy, in any combination. A green thread that waits parks. An OS thread without green
//! threads blocks. Where the docs say that a method parks, this means both.
//!
//! Waiters are served in FIFO order. Without contention nothing here makes a system call.
//!
//! While the program has another OS thread, a wait for one of these primitives is not reported as a
//! deadlock, because that OS thread might still end it. If everything is on one OS thread,
//! [`Queue`](crate::Queue), [`Semaphore`](crate::Semaphore) and [`Event`](crate::Event) are faster,
//! and their waits are always checked for deadlocks.

mod barrier;
mod condvar;
mod lazy_lock;
pub mod mpsc;
mod mutex;
mod once;
mod once_lock;
mod poison;
mod raw_mutex;
mod raw_rwlock;
pub(crate) mod reentrant_lock;
mod rwlock;
pub(crate) mod wait_list;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
