//! `RunMonitor`: reports to a watchdog on another OS thread which green thread runs.
//!
//! While a watchdog is on, every turn begins with maintenance, which otherwise happens only now and
//! then. Maintenance sees which green thread is next and publishes it. A program without a watchdog
//! therefore pays nothing, and one with a watchdog pays about ten nanoseconds for each switch: a
//! lock, and a reference count.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, PoisonError};
use std::time::Duration;

use super::Scheduler;
use super::attention::AttentionBit;
use crate::green::{GreenRef, RemoteHandle};
use crate::primitive::{Mutex, lock};

/// The part of a scheduler that watchdogs use.
#[derive(Debug, Default)]
pub(super) struct MonitorState {
    watchdogs: Cell<usize>,
    monitor: OnceCell<Arc<RunMonitor>>,
}

/// The turn in progress on an OS thread.
#[derive(Debug, Default)]
pub(crate) struct RunMonitor {
    turn: Mutex<Turn>,
    /// Notified when a green thread runs again, and when a sampler is to stop.
    changed: Condvar,
}

/// One turn of one green thread: from a switch to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    /// `None` while the OS thread waits, because all of its green threads are parked.
    pub(crate) thread: Option<Arc<RemoteHandle>>,
    /// A sampler sleeps until a green thread runs.
    sampler_asleep: bool,
}

impl RunMonitor {
    fn publish(&self, thread: Option<Arc<RemoteHandle>>) {
        let mut turn = lock(&self.turn);
        turn.number += 1;
        let before = std::mem::replace(&mut turn.thread, thread);
        let was_asleep = turn.thread.is_some() && std::mem::take(&mut turn.sampler_asleep);
        drop(turn);
        drop(before);
        if was_asleep {
            self.changed.notify_all();
        }
    }

    /// Returns the turn in progress after `tick`. While every green thread is parked, the tick
    /// counts from the next turn. Returns `None` once `stopped` is set.
    pub(crate) fn sample_after(&self, tick: Duration, stopped: &AtomicBool) -> Option<Turn> {
        let is_stopped = || stopped.load(Ordering::Relaxed);
        let mut turn = lock(&self.turn);
        while turn.thread.is_none() && !is_stopped() {
            turn.sampler_asleep = true;
            turn = self
                .changed
                .wait(turn)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let waited = self
            .changed
            .wait_timeout_while(turn, tick, |_| !is_stopped());
        let (turn, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!is_stopped()).then(|| turn.clone())
    }

    /// Stops the sampler that polls `stopped`.
    pub(crate) fn stop(&self, stopped: &AtomicBool) {
        // Set under the lock, so that the sampler cannot miss it between its check and its sleep.
        let turn = lock(&self.turn);
        stopped.store(true, Ordering::Relaxed);
        drop(turn);
        self.changed.notify_all();
    }
}

impl Scheduler {
    /// Starts publishing which green thread runs, and returns where. Ends with as many calls of
    /// [`Self::stop_monitoring`].
    pub(crate) fn start_monitoring(&self) -> Arc<RunMonitor> {
        let state = &self.monitor;
        let monitor = Arc::clone(state.monitor.get_or_init(Arc::default));
        state.watchdogs.set(state.watchdogs.get() + 1);
        self.attention.set(AttentionBit::Monitor);
        self.publish_running(Some(self.running()));
        monitor
    }

    /// Undoes one [`Self::start_monitoring`], if it returned `monitor`.
    pub(crate) fn stop_monitoring(&self, monitor: &Arc<RunMonitor>) {
        let state = &self.monitor;
        let own = state.monitor.get();
        if own.is_none_or(|own| !Arc::ptr_eq(own, monitor)) {
            return;
        }
        state.watchdogs.set(state.watchdogs.get() - 1);
        if state.watchdogs.get() == 0 {
            // The monitor must not keep the handle of a green thread alive.
            self.publish_running(None);
            self.attention.clear(AttentionBit::Monitor);
        }
    }

    /// Publishes which green thread runs from here on, if a watchdog is on.
    pub(super) fn publish_running(&self, green: Option<GreenRef>) {
        if !self.attention.is_set(AttentionBit::Monitor) {
            return;
        }
        if let Some(monitor) = self.monitor.monitor.get() {
            monitor.publish(green.map(|green| self.remote_handle(green)));
        }
    }
}
