//! Bounded concurrency for evy's green threads: the crate below `evy::GreenPool`, `evy::GreenPile`
//! and `evy::pool::Pool`. Programs use the crate `evy`.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod green_pile;
mod green_pool;
mod guard;
mod imap;
mod resource;
mod slots;
mod splat;
mod stock;

pub use green_pile::GreenPile;
pub use green_pool::{Full, GreenPool};
pub use guard::Guard;
pub use imap::Imap;
pub use resource::{Builder, Pool};
pub use splat::Splat;
