//! The calls of other OS threads: green threads to be spawned here, or killed.
//!
//! The owner takes a limited number at each event poll, so that a storm of calls starves neither
//! timers nor descriptors. No code of the program runs here. What is left of it when a call cannot be
//! carried out is dropped by its sender, or by a helper OS thread if the sender has given up its
//! handle.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use super::{Scheduler, budget};
use crate::green::{Leftover, RemoteCall, RemoteHandle};
use crate::helper_thread;
use crate::primitive::lock;

/// The largest number of calls that are taken at once.
const MAX_CALLS: usize = 2 * budget::OPERATIONS_PER_CHECK as usize;

impl Scheduler {
    /// Takes the calls that `message` announces. If there are more, the message is sent again.
    #[cold]
    pub(super) fn take_calls(&self, message: &Arc<RemoteHandle>) {
        let (calls, has_more) = self.own_handle.calls.take(MAX_CALLS);
        let mut leftovers = Vec::new();
        for call in calls {
            match call {
                RemoteCall::Start(spawn) => leftovers.extend(spawn.start()),
                RemoteCall::Kill(spawn) => spawn.kill(),
            }
        }
        if has_more {
            message.send();
        }
        drop_elsewhere(leftovers);
    }

    /// Refuses all calls from now on, because no green thread will run any more, and abandons the
    /// green threads that other OS threads have spawned.
    pub(super) fn abandon_calls(&self) {
        // In a child, an OS thread that does not exist there may have held the lock.
        if crate::fork::is_child() {
            return;
        }
        let queued = self.own_handle.calls.close();
        let queued = queued.into_iter().filter_map(|call| match call {
            RemoteCall::Start(spawn) => Some(spawn),
            RemoteCall::Kill(_) => None,
        });
        let started = self.remote_spawns.take();
        let all = queued.chain(started.into_values());
        drop_elsewhere(all.filter_map(|spawn| spawn.abandon()).collect());
    }
}

/// Drops values of the program on a helper OS thread. They are leaked if there is none.
fn drop_elsewhere(leftovers: Vec<Leftover>) {
    if leftovers.is_empty() {
        return;
    }
    // If the helper cannot be started, its closure is dropped here, and the values must stay.
    let leftovers = Arc::new(Mutex::new(leftovers));
    let theirs = Arc::clone(&leftovers);
    let started = helper_thread::start("evy-helper", None, move || {
        for leftover in mem::take(&mut *lock(&theirs)) {
            // The panic hook has reported a panic. The others are dropped nevertheless.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(leftover))) {
                mem::forget(payload);
            }
        }
    });
    if started.is_err() {
        mem::forget(leftovers);
    }
}
