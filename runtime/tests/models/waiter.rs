//! Replaces `src/thread`. Each waiter is a loom thread. A wait may end by a wake-up, by an expired
//! deadline or by a kill, each of which another loom thread sends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use loom::sync::mpsc::{Receiver, Sender, channel};

use crate::green::WaitReason;

/// A message to a waiter.
enum Signal {
    Unparked,
    Expired,
    Killed,
}

/// A loom thread that waits.
///
/// It receives signals from a channel. Loom's `unpark` would not do, because it is lost if the loom
/// thread waits for something else meanwhile.
struct Waiter {
    signals: (Sender<Signal>, Receiver<Signal>),
    expired: Cell<bool>,
    killed: Cell<bool>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

/// The event that ended a park.
enum Wake {
    Unparked,
    TimedOut,
    Killed,
}

impl Waiter {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            signals: channel(),
            expired: Cell::new(false),
            killed: Cell::new(false),
        })
    }

    fn send(&self, signal: Signal) {
        self.signals.0.send(signal).ok();
    }

    /// Parks until unparked or killed, or until the deadline has passed if `has_deadline` is set.
    /// Any number of wake-ups counts as one, as in `src/thread`.
    fn park(&self, has_deadline: bool) -> Wake {
        let (_, signals) = &self.signals;
        let mut unparked = false;
        loop {
            while let Ok(signal) = signals.try_recv() {
                self.note(signal, &mut unparked);
            }
            if self.killed.replace(false) {
                return Wake::Killed;
            }
            if unparked {
                return Wake::Unparked;
            }
            if has_deadline && self.expired.get() {
                return Wake::TimedOut;
            }
            self.note(signals.recv().unwrap(), &mut unparked);
        }
    }

    fn note(&self, signal: Signal, unparked: &mut bool) {
        match signal {
            Signal::Unparked => *unparked = true,
            Signal::Expired => self.expired.set(true),
            Signal::Killed => self.killed.set(true),
        }
    }
}

/// The state of the running loom thread.
struct Me {
    waiter: RefCell<Rc<Waiter>>,
    unwinding: Cell<bool>,
}

loom::thread_local! {
    static ME: Me = Me {
        waiter: RefCell::new(Waiter::new()),
        unwinding: Cell::new(false),
    };
}

fn me() -> Rc<Waiter> {
    ME.with(|me| Rc::clone(&me.waiter.borrow()))
}

/// The handle of a waiter that a model has spawned.
pub(crate) struct Thread<T> {
    waiter: Rc<Waiter>,
    thread: loom::thread::JoinHandle<T>,
}

pub(crate) fn spawn<T: 'static>(body: impl FnOnce() -> T + 'static) -> Thread<T> {
    let waiter = Waiter::new();
    let own = Rc::clone(&waiter);
    let thread = loom::thread::spawn(move || {
        ME.with(|me| me.waiter.replace(own));
        body()
    });
    Thread { waiter, thread }
}

impl<T> Thread<T> {
    /// Makes the deadline of this waiter pass, in its current wait and in later ones.
    pub(crate) fn expire_deadline(&self) {
        self.waiter.send(Signal::Expired);
    }

    /// Kills this waiter: its current or next wait unwinds, once.
    pub(crate) fn kill(&self) {
        self.waiter.send(Signal::Killed);
    }

    pub(crate) fn join(self) -> T {
        self.thread.join().unwrap()
    }
}

pub(crate) fn join_all<T, const N: usize>(threads: [Thread<T>; N]) -> [T; N] {
    threads.map(|thread| thread.thread.join().unwrap())
}

/// The panic payload of a kill.
struct Killed;

/// Unwinds as if the running loom thread were killed here.
pub(crate) fn die() -> ! {
    ME.with(|me| me.unwinding.set(true));
    resume_unwind(Box::new(Killed))
}

/// Runs `body`. Returns its result, or `None` if it was killed.
pub(crate) fn unless_killed<T>(body: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(body));
    ME.with(|me| me.unwinding.set(false));
    match result {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// Replaces `panicking` of `src/thread`.
pub(crate) fn panicking() -> bool {
    ME.with(|me| me.unwinding.get())
}

/// Replaces `shield_any_thread` of `src/thread`: no model interrupts an initialization.
pub(crate) fn shield_any_thread<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// Replaces `Parker` of `src/thread`.
#[derive(Debug)]
pub(crate) struct Parker(Rc<Waiter>);

impl Parker {
    pub(crate) fn current() -> Self {
        Self(me())
    }

    pub(crate) fn unpark(&self) {
        self.0.send(Signal::Unparked);
    }
}

/// Replaces `park_while` of `src/thread`. As in `src/thread`, a kill may be thrown even though the
/// wait has succeeded.
pub(crate) fn park_while(
    _: WaitReason,
    deadline: Option<Instant>,
    waiting: impl Fn() -> bool,
) -> bool {
    let waiter = me();
    while waiting() {
        match waiter.park(deadline.is_some()) {
            Wake::Unparked => {}
            Wake::TimedOut => return !waiting(),
            Wake::Killed => die(),
        }
    }
    true
}

/// Replaces `unless_abandoned` of `src/thread`. No OS thread ends while it waits.
pub(crate) fn unless_abandoned<R>(_: &dyn Fn(), wait: impl FnOnce() -> R) -> R {
    wait()
}

/// Replaces `deadline_after_any_thread` of `src/thread`. The instant does not matter, because the
/// deadline passes when [`Thread::expire_deadline`] is called.
#[expect(clippy::disallowed_methods, reason = "no wait depends on the instant")]
pub(crate) fn deadline_after_any_thread(_: Duration) -> Option<Instant> {
    Some(Instant::now())
}

/// The waiters of a model have no scheduler, and so no budget.
pub(crate) fn charge(_is_going_to_park: impl FnOnce() -> bool) {}

/// As for [`charge`].
pub(crate) fn charge_failure() {}

/// As for [`charge`].
pub(crate) fn charge_without_yield() {}
