//! Bounded concurrency for evy's green threads: `GreenPool`, `GreenPile` and `Pool`. Programs
//! should use the crate `evy`, which re-exports them.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod feeder;
mod green_pile;
mod green_pool;
mod imap;
mod imap_state;
mod job;
mod permits;
mod pool;
mod pool_guard;
mod pool_state;
mod resource_state;
mod scoped_imap;
mod splat;

pub use green_pile::GreenPile;
pub use green_pool::{Full, GreenPool};
pub use imap::Imap;
pub use pool::{Pool, PoolBuilder};
pub use pool_guard::PoolGuard;
pub use scoped_imap::ScopedImap;
pub use splat::Splat;
