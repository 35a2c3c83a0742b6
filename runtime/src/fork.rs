//! Whether this process is a child that was created with `fork` after evy was used.
//!
//! Such a child shares the parent's epoll instance. A poll there would take events from the parent,
//! and ending a registration would end the parent's. So the child touches neither, and evy does not
//! work there. The child may run other code, and may call `exec` or `_exit`.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Whether this process is such a child.
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// Records that this process is such a child. Called between `fork` and its return.
pub(crate) fn set_child() {
    IS_CHILD.store(true, Ordering::Relaxed);
}

/// Checks that evy works in this process.
///
/// # Errors
///
/// Returns an error that says why if it does not.
pub(crate) fn check() -> io::Result<()> {
    match is_child() {
        true => Err(io::Error::new(io::ErrorKind::Unsupported, Forked)),
        false => Ok(()),
    }
}

/// Says why evy does not work in a child.
#[derive(Debug)]
pub(crate) struct Forked;

impl fmt::Display for Forked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this process was created with `fork`, and evy does not work in it, because it shares \
             the event queue of its parent; it can run code without evy, and call `exec` or `_exit`",
        )
    }
}

impl std::error::Error for Forked {}
