//! Bounded concurrency for evy's green threads: the crate below `evy::GreenPool` and
//! `evy::GreenPile`. Programs use the crate `evy`.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod green_pile;
mod green_pool;
mod imap;
mod slots;
mod splat;

pub use green_pile::GreenPile;
pub use green_pool::{Full, GreenPool};
pub use imap::Imap;
pub use splat::Splat;
