//! In the place of `src/thread`: each waiter is a loom thread, and what may end a wait is sent to it
//! by the others: a wake-up, its deadline, a kill.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use loom::sync::mpsc::{Receiver, Sender, channel};

use crate::green::WaitReason;

/// What is sent to a waiter.
enum Signal {
    Unparked,
    TimeIsUp,
    Killed,
}

/// Who waits. It is sent signals by a channel, and not by loom's `unpark`: that is forgotten by a
/// loom thread that waits for something else meanwhile.
struct Waiter {
    signals: (Sender<Signal>, Receiver<Signal>),
    time_is_up: Cell<bool>,
    killed: Cell<bool>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

/// What ended a park.
enum Wake {
    Unparked,
    TimedOut,
    Killed,
}

impl Waiter {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            signals: channel(),
            time_is_up: Cell::new(false),
            killed: Cell::new(false),
        })
    }

    fn send(&self, signal: Signal) {
        self.signals.0.send(signal).ok();
    }

    /// Parks until unparked or killed, or until the time is up. Any number of wake-ups is one, as
    /// with the real ones.
    fn park(&self, until_time_is_up: bool) -> Wake {
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
            if until_time_is_up && self.time_is_up.get() {
                return Wake::TimedOut;
            }
            self.note(signals.recv().unwrap(), &mut unparked);
        }
    }

    fn note(&self, signal: Signal, unparked: &mut bool) {
        match signal {
            Signal::Unparked => *unparked = true,
            Signal::TimeIsUp => self.time_is_up.set(true),
            Signal::Killed => self.killed.set(true),
        }
    }
}

/// The loom thread that runs.
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

/// A waiter of a model.
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
    /// Where it waits with a deadline, now or later, that has come.
    pub(crate) fn let_time_be_up(&self) {
        self.waiter.send(Signal::TimeIsUp);
    }

    /// Where it waits, now or later, it unwinds: once.
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

/// What a kill throws.
struct Killed;

/// Unwinds as if killed here.
pub(crate) fn die() -> ! {
    ME.with(|me| me.unwinding.set(true));
    resume_unwind(Box::new(Killed))
}

/// What `body` returns; `None` if it was killed.
pub(crate) fn unless_killed<T>(body: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(body));
    ME.with(|me| me.unwinding.set(false));
    match result {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// As the real one.
pub(crate) fn panicking() -> bool {
    ME.with(|me| me.unwinding.get())
}

/// As the real one.
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

/// As the real one: a kill may come also where what was waited for has.
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

/// Any moment will do: it has come when somebody says so.
#[expect(clippy::disallowed_methods, reason = "nobody waits for it")]
pub(crate) fn deadline_after_any_thread(_: Duration) -> Option<Instant> {
    Some(Instant::now())
}
