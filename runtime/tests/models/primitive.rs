//! In the place of `src/primitive.rs`: atomics and a lock of loom's, and cells that tell of a data
//! race.

use std::cell::{self, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::thread::panicking;

pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use loom::sync::mpsc::{Receiver, Sender, channel};

/// Declares a constructor, which is not `const` here.
macro_rules! const_fn_unless_loom {
    ($($all:tt)*) => { $($all)* };
}
pub(crate) use const_fn_unless_loom;

thread_local! {
    static IN_MODEL: cell::Cell<bool> = const { cell::Cell::new(false) };
}

/// Runs `f` in all its interleavings in which its loom threads are interrupted a few times at most,
/// besides where they wait.
pub(crate) fn model(f: impl Fn() + Send + Sync + 'static) {
    check(if cfg!(debug_assertions) { 3 } else { 4 }, f);
}

/// As [`model`], with more interruptions: two loom threads have time for that.
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

/// It is slow, and the models are the same.
fn under_emulator() -> bool {
    std::env::var_os("EVY_UNDER_QEMU").is_some()
}

/// A lock whose key is a message. Loom's own would be poisoned by a loom thread that is killed
/// meanwhile: they all run on one OS thread, and std counts panics by OS thread.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    value: RefCell<T>,
    key: (Sender<()>, Receiver<()>),
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        let key = channel();
        key.0.send(()).unwrap();
        Self {
            value: RefCell::new(value),
            key,
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let (sender, receiver) = &mutex.key;
    receiver.recv().unwrap();
    MutexGuard {
        value: mutex.value.borrow_mut(),
        key: Key(sender),
    }
}

/// Its fields are dropped in this order.
pub(crate) struct MutexGuard<'a, T> {
    value: RefMut<'a, T>,
    #[expect(dead_code, reason = "dropped, no more")]
    key: Key<'a>,
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

struct Key<'a>(&'a Sender<()>);

impl Drop for Key<'_> {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

/// As [`std::cell::Cell`], but an access, or its end, that does not happen after the one before is an
/// error. Outside of models (the unit tests of what is mounted) it is an ordinary one.
pub(crate) struct Cell<T> {
    value: cell::Cell<T>,
    witness: Option<loom::cell::UnsafeCell<()>>,
}

impl<T> Cell<T> {
    pub(crate) fn new(value: T) -> Self {
        let witness = || loom::cell::UnsafeCell::new(());
        Self {
            value: cell::Cell::new(value),
            witness: IN_MODEL.get().then(witness),
        }
    }

    pub(crate) fn get(&self) -> T
    where
        T: Copy,
    {
        if let Some(witness) = &self.witness {
            witness.with(|_| ());
        }
        self.value.get()
    }

    pub(crate) fn replace(&self, value: T) -> T {
        self.changes();
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

    fn changes(&self) {
        if let Some(witness) = &self.witness {
            witness.with_mut(|_| ());
        }
    }
}

impl<T> Drop for Cell<T> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a model that has failed is not to fail again"
    )]
    fn drop(&mut self) {
        if !panicking() {
            self.changes();
        }
    }
}

impl<T> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").finish_non_exhaustive()
    }
}
