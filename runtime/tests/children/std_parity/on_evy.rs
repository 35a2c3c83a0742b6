//! The program, with evy.

pub(crate) use evy_runtime::{os, process};

#[path = "uses.rs"]
pub(crate) mod uses;
