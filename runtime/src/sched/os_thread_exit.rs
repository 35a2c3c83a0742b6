//! The end of an OS thread.
//!
//! Live green threads are not unwound there: other thread locals are destroyed already, and a
//! destructor that runs on a green thread's stack could still reach them. They are leaked, stacks
//! and all, and their number is reported; `evy::shutdown` beforehand is the orderly way.

use std::io::Write;

use super::Scheduler;

/// Frees a scheduler, or leaks it where green threads are left.
///
/// # Safety
///
/// `scheduler` came from [`Scheduler::start`], on this OS thread, whose own stack runs. Nobody can
/// get at it any more.
pub(super) unsafe fn end(scheduler: *mut Scheduler) {
    // SAFETY: valid until it is freed below (caller).
    let alive = unsafe { &*scheduler };
    drop(alive.own_handle.mailbox.close());
    alive.publish_running(None);
    alive.root.detach_remote_handle();
    alive.root.drop_locals();
    match alive.live() {
        0 => {
            // SAFETY: no green thread lives, so no stack is in use, and nothing outside keeps a
            // pointer into one ([live-ref]).
            unsafe { alive.threads.unmap_all() };
            // SAFETY: leaked by `start`, and nobody else has it (caller).
            drop(unsafe { Box::from_raw(scheduler) });
        }
        left => {
            let name = alive.root.name().unwrap_or("<unnamed>");
            // A destructor has nobody to return an error to.
            drop(writeln!(
                std::io::stderr(),
                "evy: OS thread '{name}' ends while {left} of its green threads live; they are \
                 abandoned where they stand (evy::shutdown ends them in order)"
            ));
        }
    }
}
