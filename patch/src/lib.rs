//! Unchanged blocking libraries on green threads: `std::net`, C libraries, and crates that know
//! nothing of evy.
//!
//! This crate replaces functions of the C library. Code that blocks ends up there: std, C libraries,
//! and crates that call `libc`. In a program that contains the crate, those functions behave as
//! always until [`monkey_patch`] is called. From then on, a call that would block parks the calling
//! green thread instead, and the others run.
//!
//! std and C libraries also keep state for each thread. So each green thread that is spawned after
//! `monkey_patch` has a pthread identity of its own, with its own thread locals
//! ([`Builder::own_identity`](evy_runtime::thread::Builder::own_identity)). Green threads that were
//! spawned before, and OS threads that have never used evy, block as always. So `std::thread::spawn`
//! still creates an OS thread, and `evy::spawn` a green thread.
//!
//! A kill and a timeout never unwind through a library. A call on a socket returns an error instead, and
//! the next call of evy unwinds. In the repository, `docs/IMPORT_GREEN.md` has the table of what is
//! patched and of how each call ends, and `docs/PATCH_HOWTO.md` answers the questions that come next.
//!
//! # Examples
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! match evy::patch::monkey_patch() {
//!     Ok(()) => {
//!         let start = Instant::now();
//!         let sleepers: Vec<_> = (0..10)
//!             .map(|_| evy::spawn(|| std::thread::sleep(Duration::from_millis(50))))
//!             .collect();
//!         evy::wait_all(sleepers);
//!         assert!(start.elapsed() < Duration::from_millis(400));
//!     }
//!     Err(error) => println!("{error}"),
//! }
//! ```

mod categories;
mod doctor;
mod error;
#[cfg(evy_hooks)]
mod hooks;
mod monkey_patch;
mod state;

pub use categories::Categories;
pub use doctor::{Report, doctor};
pub use error::PatchError;
pub use monkey_patch::{is_patched, monkey_patch, monkey_patch_only, patched, unpatched};
