//! The end of an OS thread: its scheduler is freed, or leaked with the green threads that are left.
//!
//! Live green threads are not unwound here, because thread locals are destroyed already. A
//! destructor that runs on a green thread's stack could still access those. The green threads are
//! leaked together with their stacks. A program avoids that by calling `evy::shutdown` before.
//!
//! They are passed over by what OS threads share: a lock, a notification or a message that one of
//! them waits for, or has been given and has not used, goes to the next waiter (`abandon_hooks`).
//!
//! Most programs leave green threads that wait for something forever, such as an accept loop, and
//! lose nothing. So they are reported only if one of them would have run: because it was ready, or
//! because another OS thread has woken it and may wait for what it does.

use std::io::Write;

use super::Scheduler;
use crate::green::{GreenRef, State};

impl Scheduler {
    /// Takes all green threads out of the queues of what OS threads share. None of them continues.
    pub(super) fn abandon_waits(&self) {
        while let Some(node) = self.abandon_hooks.pop_front() {
            // SAFETY: the node was linked until now, so it is valid ([linked-is-pinned]), and it
            // stays so, because its stack is leaked.
            let hook = unsafe { node.as_ref() }.value;
            hook();
        }
    }
}

/// Frees a scheduler, or leaks it if green threads are left.
///
/// # Safety
///
/// - `scheduler` came from [`Scheduler::start`] on this OS thread, which runs on its own stack.
/// - Nothing else can access the scheduler any more.
pub(super) unsafe fn end(scheduler: *mut Scheduler) {
    // Its poller belongs to the parent, so it is never dropped.
    if crate::fork::is_child() {
        return;
    }
    // SAFETY: it is valid until it is freed below (caller).
    let alive = unsafe { &*scheduler };
    alive.leave_ticker();
    let messages = alive.own_handle.mailbox.close();
    alive.publish_running(None);
    alive.root.detach_remote_handle();
    if alive.live() == 0 {
        drop(messages);
        // SAFETY:
        // - no green thread is live, so no stack is in use;
        // - no pointer into a stack is left elsewhere ([live-ref]).
        unsafe { alive.threads.unmap_all() };
        // SAFETY: `start` has leaked it, and nothing else uses it (caller).
        drop(unsafe { Box::from_raw(scheduler) });
        return;
    }
    let all = alive.all_live();
    let is_ready = |green: &GreenRef| matches!(green.state.get(), State::Ready(_));
    let is_woken = messages
        .iter()
        .any(|handle| alive.own_green(handle).is_some());
    if is_woken || all.iter().any(is_ready) {
        let name = alive.root.name().unwrap_or("<unnamed>");
        // A destructor cannot return an error.
        drop(writeln!(
            std::io::stderr(),
            "evy: OS thread '{name}' ended with {} live green threads, of which some were ready to \
             run; they are abandoned, and their destructors do not run (call evy::shutdown first)",
            all.len()
        ));
    }
}
