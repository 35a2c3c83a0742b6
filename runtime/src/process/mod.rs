//! Child processes, with the names of [`std::process`]: waiting for a child, and reading and
//! writing its pipes, parks the green thread.
//!
//! # Differences from std
//!
//! - [`Child::wait`], [`Child::wait_with_output`], [`Command::status`] and [`Command::output`] can
//!   end early, by a kill or a [`timeout`](crate::timeout). That neither ends nor reaps the child.
//!   A later `wait` returns its status.
//! - [`Child::wait_with_output`] and [`Command::output`] return an error if a pipe cannot be read.
//!   std panics.
//! - A [`Command`] that was converted from std's does not know which streams were redirected before.
//!
//! Like in std, a [`Child`] that is dropped goes on, and becomes a zombie when it ends, until this
//! process ends too.
//!
//! # How it works
//!
//! The end of a child is an event of its pidfd. Where the system has none, one helper OS thread for
//! each child that is waited for blocks until its end. evy installs no handler for `SIGCHLD`, and
//! never reaps a process other than the one that is waited for.
//!
//! Creating a process blocks the OS thread until the child has begun to run the program. That
//! usually takes a tenth of a millisecond. For a child with another user, or with a closure of
//! [`pre_exec`](crate::os::unix::process::CommandExt::pre_exec), the system copies the page tables
//! of this process first, which takes some 70 ms for each GiB of its memory. If that is too long,
//! [`unblock`](crate::unblock) can create the process, with std's `Command`, and
//! `Child::from` converts the handle.
//!
//! # Examples
//!
//! Ten children run at the same time:
//!
//! ```
//! use evy::process::Command;
//!
//! let children: Vec<_> = (0..10)
//!     .map(|n| evy::spawn(move || Command::new("echo").arg(n.to_string()).output()))
//!     .collect();
//! for (n, child) in children.into_iter().enumerate() {
//!     let output = child.join().unwrap()?;
//!     assert_eq!(output.stdout, format!("{n}\n").as_bytes());
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A child that takes too long is killed:
//!
//! ```
//! use evy::process::Command;
//! use std::time::Duration;
//!
//! let mut child = Command::new("sleep").arg("60").spawn()?;
//! let status = match evy::timeout(Duration::from_millis(10), || child.wait()) {
//!     Ok(status) => status?,
//!     Err(_elapsed) => {
//!         child.kill()?;
//!         child.wait()?
//!     }
//! };
//! assert!(!status.success());
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod command;
pub(crate) mod command_ext;
mod exit;
mod pipes;

pub use child::Child;
pub use command::Command;
pub use pipes::{ChildStderr, ChildStdin, ChildStdout};
pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};
