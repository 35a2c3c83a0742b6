//! Who runs, written where a watchdog on another OS thread can read it.
//!
//! While somebody watches, there is a look around at each switch, which otherwise only comes now and
//! then; it sees who is next and writes that down. So a program that is not watched pays nothing,
//! and one that is pays some ten nanoseconds for each switch: a lock, and a count of references.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, PoisonError};
use std::time::Duration;

use super::{Scheduler, TURNS_PER_LOOK};
use crate::green::GreenRef;
use crate::inbox::Handle;
use crate::primitive::{Mutex, lock};

/// A scheduler's part in being watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    watchers: Cell<usize>,
    board: OnceCell<Arc<Board>>,
    /// Looks that were for the watchdog alone, since the last one at everything.
    skipped: Cell<usize>,
}

/// Who runs on an OS thread at this moment.
#[derive(Debug, Default)]
pub(crate) struct Board {
    run: Mutex<Run>,
    /// Somebody runs again, or a watcher is to leave.
    changed: Condvar,
}

/// One turn of one green thread: from a switch to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) number: u64,
    /// `None`: the OS thread waits, everybody is parked.
    pub(crate) who: Option<Arc<Handle>>,
    /// A watcher sleeps until somebody runs.
    asleep: bool,
}

impl Board {
    fn write(&self, who: Option<Arc<Handle>>) {
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

    /// The present run, `tick` from now; while nobody runs, a tick after somebody does. `None`: the
    /// watcher is to leave.
    pub(crate) fn read_after(&self, tick: Duration, leave: &AtomicBool) -> Option<Run> {
        let left = || leave.load(Ordering::Relaxed);
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

    /// Has the watcher that reads with `leave` leave.
    pub(crate) fn dismiss(&self, leave: &AtomicBool) {
        // Under the lock, so that it does not fall between its question and its sleep.
        let run = lock(&self.run);
        leave.store(true, Ordering::Relaxed);
        drop(run);
        self.changed.notify_all();
    }
}

impl Scheduler {
    /// Begins to write down who runs, and says where. Ends with as many calls of
    /// [`Self::unwatch`].
    pub(crate) fn watch(&self) -> Arc<Board> {
        let board = Arc::clone(self.watched.board.get_or_init(Arc::default));
        self.watched.watchers.set(self.watched.watchers.get() + 1);
        self.adjust_looks();
        self.write_run(Some(self.running()));
        board
    }

    /// Ends what [`Self::watch`] has begun, if `board` is from here.
    pub(crate) fn unwatch(&self, board: &Arc<Board>) {
        let own = self.watched.board.get();
        if own.is_some_and(|own| Arc::ptr_eq(own, board)) {
            // So that it keeps nothing of anybody who runs now.
            self.write_run(None);
            self.watched.watchers.set(self.watched.watchers.get() - 1);
            self.write_run(Some(self.running()));
            self.adjust_looks();
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.watchers.get() > 0
    }

    /// Writes down who runs from here on, if anybody wants to know.
    pub(super) fn write_run(&self, who: Option<GreenRef>) {
        if !self.is_watched() {
            return;
        }
        if let Some(board) = self.watched.board.get() {
            board.write(who.map(|green| self.handle(green)));
        }
    }

    /// Whether a look around is to be at everything, and not for a watchdog alone.
    pub(super) fn is_look_due(&self) -> bool {
        if !self.is_watched() || self.shuffled.get() {
            return true;
        }
        let skipped = self.watched.skipped.get() + 1;
        let due = skipped == TURNS_PER_LOOK;
        self.watched.skipped.set(if due { 0 } else { skipped });
        due
    }
}
