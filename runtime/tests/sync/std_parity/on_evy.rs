//! The program, with evy.

pub(crate) use evy_runtime::sync;
pub(crate) use evy_runtime::thread;

#[path = "uses.rs"]
pub(crate) mod uses;
