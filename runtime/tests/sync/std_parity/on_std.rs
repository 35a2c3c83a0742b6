//! The program, with std.

pub(crate) use std::sync;
pub(crate) use std::thread;

#[path = "uses.rs"]
pub(crate) mod uses;
