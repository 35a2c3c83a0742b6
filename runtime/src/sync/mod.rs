//! Coordination in the shape of [`std::sync`]: replace `std::sync` by `evy::sync`.
//!
//! Everything here is `Send` and `Sync` as std's is, and works between green threads of one OS
//! thread, of several, and OS threads that have never used evy, mixed as one likes: a green thread
//! that waits parks, an OS thread without green threads blocks. Waiters are served in the order in
//! which they came. Without contention nothing here makes a system call.
//!
//! Because somebody on another OS thread may have a hand on it, a wait for one of these is never
//! taken for a stall. Where all is on one OS thread, [`Queue`](crate::Queue),
//! [`Semaphore`](crate::Semaphore) and [`Event`](crate::Event) are faster, and tell.

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
