//! Who runs, written where a watchdog on another OS thread can read it.
//!
//! While somebody watches, there is a look around at each switch, which otherwise only comes now and
//! then; it sees who is next and writes that down. So a program that is not watched pays nothing,
//! and one that is pays some ten nanoseconds for each switch: a lock, and a count of references.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, PoisonError};
use std::time::Duration;

use super::{EVENT_INTERVAL, Scheduler};
use crate::green::GreenRef;
use crate::green::RemoteHandle;
use crate::primitive::{Mutex, lock};

/// A scheduler's part in being watched.
#[derive(Debug, Default)]
pub(super) struct MonitorState {
    watchers: Cell<usize>,
    monitor: OnceCell<Arc<RunMonitor>>,
    /// Looks that were for the watchdog alone, since the last one at everything.
    skipped: Cell<usize>,
}

/// Who runs on an OS thread at this moment.
#[derive(Debug, Default)]
pub(crate) struct RunMonitor {
    run: Mutex<Turn>,
    /// Notified when a green thread runs again, and when a sampler is to stop.
    changed: Condvar,
}

/// One turn of one green thread: from a switch to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    /// `None`: the OS thread waits, everybody is parked.
    pub(crate) who: Option<Arc<RemoteHandle>>,
    /// A sampler sleeps until a green thread runs.
    asleep: bool,
}

impl RunMonitor {
    fn write(&self, who: Option<Arc<RemoteHandle>>) {
        let mut run = lock(&self.run);
        run.number += 1;
        let before = std::mem::replace(&mut run.who, who);
        let was_asleep = run.who.is_some() && std::mem::take(&mut run.asleep);
        drop(run);
        drop(before);
        if was_asleep {
            self.changed.notify_all();
        }
    }

    /// Returns the turn in progress after `tick`. While every green thread is parked, the tick counts
    /// from the next turn. Returns `None` once `stopped` is set.
    pub(crate) fn sample_after(&self, tick: Duration, stopped: &AtomicBool) -> Option<Turn> {
        let left = || stopped.load(Ordering::Relaxed);
        let mut run = lock(&self.run);
        while run.who.is_none() && !left() {
            run.asleep = true;
            run = self
                .changed
                .wait(run)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let waited = self.changed.wait_timeout_while(run, tick, |_| !left());
        let (run, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!left()).then(|| run.clone())
    }

    /// Stops the sampler that polls `stopped`.
    pub(crate) fn stop(&self, stopped: &AtomicBool) {
        // Under the lock, so that it does not fall between its question and its sleep.
        let run = lock(&self.run);
        stopped.store(true, Ordering::Relaxed);
        drop(run);
        self.changed.notify_all();
    }
}

impl Scheduler {
    /// Begins to write down who runs, and says where. Ends with as many calls of
    /// [`Self::unwatch`].
    pub(crate) fn watch(&self) -> Arc<RunMonitor> {
        let monitor = Arc::clone(self.monitor.monitor.get_or_init(Arc::default));
        self.monitor.watchers.set(self.monitor.watchers.get() + 1);
        self.update_event_tick_mask();
        self.publish_running(Some(self.running()));
        monitor
    }

    /// Ends what [`Self::watch`] has begun, if `monitor` is from here.
    pub(crate) fn unwatch(&self, monitor: &Arc<RunMonitor>) {
        let own = self.monitor.monitor.get();
        if own.is_some_and(|own| Arc::ptr_eq(own, monitor)) {
            // So that it keeps nothing of anybody who runs now.
            self.publish_running(None);
            self.monitor.watchers.set(self.monitor.watchers.get() - 1);
            self.publish_running(Some(self.running()));
            self.update_event_tick_mask();
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.monitor.watchers.get() > 0
    }

    /// Writes down who runs from here on, if anybody wants to know.
    pub(super) fn publish_running(&self, who: Option<GreenRef>) {
        if !self.is_watched() {
            return;
        }
        if let Some(monitor) = self.monitor.monitor.get() {
            monitor.write(who.map(|green| self.remote_handle(green)));
        }
    }

    /// Whether a look around is to be at everything, and not for a watchdog alone.
    pub(super) fn is_maintenance_due(&self) -> bool {
        if !self.is_watched() || self.random_order.get() {
            return true;
        }
        let skipped = self.monitor.skipped.get() + 1;
        let due = skipped == EVENT_INTERVAL;
        self.monitor.skipped.set(if due { 0 } else { skipped });
        due
    }
}
