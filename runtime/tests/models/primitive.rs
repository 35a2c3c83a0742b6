//! Replaces `src/primitive.rs` by atomics and a lock that loom controls, and by cells that report
//! data races.

use std::cell::{self, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::thread::panicking;

pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use loom::sync::mpsc::{Receiver, Sender, channel};

/// Declares a constructor. It is not `const` here, because loom's constructors are not.
macro_rules! const_fn_unless_loom {
    ($($all:tt)*) => { $($all)* };
}
pub(crate) use const_fn_unless_loom;

thread_local! {
    static IN_MODEL: cell::Cell<bool> = const { cell::Cell::new(false) };
}

/// Runs `f` in all interleavings in which its loom threads are preempted at most a few times, not
/// counting the switches where they wait.
pub(crate) fn model(f: impl Fn() + Send + Sync + 'static) {
    check(if cfg!(debug_assertions) { 3 } else { 4 }, f);
}

/// Like [`model`], but with more preemptions. With only two loom threads, this does not take too
/// long.
pub(crate) fn model_of_two(f: impl Fn() + Send + Sync + 'static) {
    check(if cfg!(debug_assertions) { 6 } else { 8 }, f);
}

fn check(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let preemptions = if under_emulator() { 1 } else { preemptions };
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    IN_MODEL.set(true);
    builder.check(f);
    IN_MODEL.set(false);
}

/// Whether the tests run under an emulator. It is slow, and the models are the same there, so fewer
/// interleavings are tried.
fn under_emulator() -> bool {
    std::env::var_os("EVY_UNDER_QEMU").is_some()
}

/// A mutex that is unlocked while there is a message in its channel.
///
/// Loom's own mutex would be poisoned if any loom thread were killed meanwhile, because all loom
/// threads run on one OS thread, and std counts panics per OS thread.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    value: RefCell<T>,
    unlocked: (Sender<()>, Receiver<()>),
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        let unlocked = channel();
        unlocked.0.send(()).unwrap();
        Self {
            value: RefCell::new(value),
            unlocked,
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let (sender, receiver) = &mutex.unlocked;
    receiver.recv().unwrap();
    MutexGuard {
        value: mutex.value.borrow_mut(),
        handoff: Handoff(sender),
    }
}

/// The fields are dropped in this order: the borrow ends before the mutex is unlocked.
pub(crate) struct MutexGuard<'a, T> {
    value: RefMut<'a, T>,
    #[expect(dead_code, reason = "only dropped")]
    handoff: Handoff<'a>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

struct Handoff<'a>(&'a Sender<()>);

impl Drop for Handoff<'_> {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

/// Like [`std::cell::Cell`], but reports data races: each access, and the drop of the cell, must
/// happen after the access before. Outside of models, in the unit tests of the mounted files, it is
/// an ordinary cell.
pub(crate) struct Cell<T> {
    value: cell::Cell<T>,
    race_check: Option<loom::cell::UnsafeCell<()>>,
}

impl<T> Cell<T> {
    pub(crate) fn new(value: T) -> Self {
        let race_check = || loom::cell::UnsafeCell::new(());
        Self {
            value: cell::Cell::new(value),
            race_check: IN_MODEL.get().then(race_check),
        }
    }

    pub(crate) fn get(&self) -> T
    where
        T: Copy,
    {
        if let Some(race_check) = &self.race_check {
            race_check.with(|_| ());
        }
        self.value.get()
    }

    pub(crate) fn replace(&self, value: T) -> T {
        self.check_write();
        self.value.replace(value)
    }

    pub(crate) fn set(&self, value: T) {
        drop(self.replace(value));
    }

    pub(crate) fn take(&self) -> T
    where
        T: Default,
    {
        self.replace(T::default())
    }

    fn check_write(&self) {
        if let Some(race_check) = &self.race_check {
            race_check.with_mut(|_| ());
        }
    }
}

impl<T> Drop for Cell<T> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a model that has failed must not fail again"
    )]
    fn drop(&mut self) {
        if !panicking() {
            self.check_write();
        }
    }
}

impl<T> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").finish_non_exhaustive()
    }
}
