//! The program, with std.

pub(crate) use std::{os, process};

#[path = "uses.rs"]
pub(crate) mod uses;
