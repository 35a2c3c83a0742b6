//! `fork`: the child loses its scheduler before it runs any code of the program.
//!
//! The handler that `pthread_atfork` registers runs in the child, on the OS thread that called
//! `fork`, which is the only one there. `CURRENT` is null afterwards, so each evy function that needs
//! a scheduler tries to start one, and that fails. Functions that have a reference to the scheduler
//! are on the stack already, such as `scope`. Before they switch, they see the attention bit.
//!
//! A hook calls the real `fork` under the pthread identity of the OS thread, where the handler runs. So
//! `CURRENT` of the green thread's own identity is left to the hook ([`enter_child`]).
//!
//! A child that `vfork` creates shares its memory with the parent, and no handler runs there.

use std::io::Write;
use std::sync::Once;

use super::Scheduler;
use super::attention::AttentionBit;
use super::current;
use crate::fork::{self, Forked};

/// Makes evy notice each `fork` from now on.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the handler only stores values, which is allowed between `fork` and its return.
        // If there is no memory for it, a `fork` goes unnoticed.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Takes the scheduler away from the calling thread of a child, if it has one.
pub(crate) fn enter_child() {
    if current::if_current().is_some() {
        in_child();
    }
}

extern "C" fn in_child() {
    fork::set_child();
    if let Some(scheduler) = current::if_current() {
        scheduler.attention.set(AttentionBit::Forked);
    }
    current::forget();
}

impl Scheduler {
    /// Aborts a child that would switch. Called by maintenance, which runs at each turn of a scheduler
    /// that was forked.
    pub(super) fn check_not_forked(&self) {
        if self.attention.is_set(AttentionBit::Forked) {
            abort_in_child();
        }
    }
}

#[cold]
fn abort_in_child() -> ! {
    // One write, because the parent may write at the same time.
    let message = format!("evy: {Forked}\n");
    std::io::stderr().write_all(message.as_bytes()).ok();
    std::process::abort();
}
