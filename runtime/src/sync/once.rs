//! `Once`: an initialization that runs once.

use std::fmt;

use super::wait_list::{IfAbandoned, PendingUnpark, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{AtomicU8, Mutex, Ordering, const_fn_unless_loom, lock};
use crate::thread::{charge, shield_any_thread};

const NEW: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const POISONED: u8 = 3;

/// A one-time initialization, like [`std::sync::Once`].
///
/// Concurrent callers park until the initialization has finished. The initialization itself may
/// park. Only the methods that say so park.
///
/// The `Once` is poisoned if the initialization panics.
///
/// # Differences from std
///
/// - The initialization runs under a [`shield`](crate::shield), because all callers need its
///   result: a kill or a timeout of the caller that runs it is deferred until it has ended. A
///   timeout that the initialization itself opens works as usual.
/// - A caller that waits for the initialization can be killed and can time out.
///
/// # Examples
///
/// ```
/// use evy::sync::Once;
///
/// static START: Once = Once::new();
/// START.call_once(|| println!("once"));
/// START.call_once(|| unreachable!());
/// assert!(START.is_completed());
/// ```
pub struct Once {
    /// Changes under the inner lock, but is read without it. It changes to `DONE` or `POISONED` at
    /// the end of the initialization, by the caller that runs it.
    state: AtomicU8,
    waiters: Mutex<WaitList>,
}

impl Once {
    const_fn_unless_loom! {
        /// Creates a new `Once`, which has not run.
        #[must_use]
        pub fn new() -> Self {
            Self {
                state: AtomicU8::new(NEW),
                waiters: Mutex::new(WaitList::new()),
            }
        }
    }

    /// Runs `f` if no initialization has been completed yet.
    ///
    /// A call from within `f` for the same `Once` parks forever.
    ///
    /// Parks while another initialization runs, and where `f` parks.
    ///
    /// # Panics
    ///
    /// Panics if an earlier initialization panicked, or if `f` panics.
    #[inline]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            self.call(Some(POISON), |_| shield_any_thread(f));
        }
    }

    /// Runs `f` like [`call_once`](Self::call_once), but ignores poisoning: `f` also runs if an
    /// earlier initialization panicked.
    ///
    /// Parks while another initialization runs, and where `f` parks.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics.
    #[inline]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            self.call(None, |state| shield_any_thread(|| f(state)));
        }
    }

    /// Runs `f` like [`call_once_force`](Self::call_once_force), without a shield. If `f` is cut
    /// short, another caller can run its own.
    pub(super) fn call_once_interruptible(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            self.call(None, |_| f());
        }
    }

    /// Runs `f` like [`call_once`](Self::call_once). If the `Once` is poisoned, panics with
    /// `message`, which names the type that contains it.
    pub(super) fn call_once_or_panic(&self, message: &'static str, f: impl FnOnce()) {
        if !self.is_completed() {
            self.call(Some(message), |_| shield_any_thread(f));
        }
    }

    /// Returns `true` if an initialization has been completed.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Waits for the initialization.
    ///
    /// Parks until an initialization has been completed.
    ///
    /// # Panics
    ///
    /// Panics if an initialization panicked.
    pub fn wait(&self) {
        charge(|| !self.is_completed());
        assert!(self.wait_for_end() != POISONED, "{POISON}");
    }

    /// Waits for the initialization, ignoring poisoning.
    ///
    /// Parks until an initialization has been completed successfully.
    pub fn wait_force(&self) {
        charge(|| !self.is_completed());
        while !self.is_completed() {
            self.park_unless(|state| state == DONE);
        }
    }

    /// Parks until the state is `DONE` or `POISONED`.
    fn wait_for_end(&self) -> u8 {
        self.park_unless(|state| state == DONE || state == POISONED)
    }

    /// `if_poisoned` is the message of the panic if an earlier initialization panicked. Without
    /// one, `f` runs nevertheless.
    #[cold]
    fn call(&self, if_poisoned: Option<&'static str>, f: impl FnOnce(&OnceState)) {
        loop {
            let waiters = lock(&self.waiters);
            match (self.state.load(Ordering::Acquire), if_poisoned) {
                (DONE, _) => return,
                (POISONED, Some(message)) => {
                    // A panic hook may use this value too.
                    drop(waiters);
                    panic!("{message}")
                }
                (RUNNING, _) => {
                    drop(waiters);
                    self.park_unless(|state| state != RUNNING);
                }
                (before, _) => {
                    self.state.store(RUNNING, Ordering::Relaxed);
                    drop(waiters);
                    let mut guard = CompletionGuard {
                        once: self,
                        set_on_drop: POISONED,
                    };
                    f(&OnceState {
                        poisoned: before == POISONED,
                    });
                    guard.set_on_drop = DONE;
                    return;
                }
            }
        }
    }

    /// Parks until `is_done` returns `true` for the state, and returns the state. The state is
    /// checked at once and at the end of each initialization.
    fn park_unless(&self, is_done: impl Fn(u8) -> bool) -> u8 {
        loop {
            let waiters = lock(&self.waiters);
            let state = self.state.load(Ordering::Acquire);
            if is_done(state) {
                return state;
            }
            let wait = WaitParams {
                state: &self.waiters,
                queue: |waiters| waiters,
                position: Position::Back,
                reason: WaitReason::Once,
                deadline: None,
                if_abandoned: IfAbandoned::Leaves,
            };
            // The loop checks the state again, whether this waiter was notified or not.
            wait.park(waiters, None, drop).ok();
        }
    }
}

const POISON: &str = "Once instance has previously been poisoned";

/// A guard that lives while the initialization runs. At its end, successful or not, all waiters are
/// notified.
struct CompletionGuard<'a> {
    once: &'a Once,
    set_on_drop: u8,
}

impl Drop for CompletionGuard<'_> {
    fn drop(&mut self) {
        let waiters = lock(&self.once.waiters);
        self.once.state.store(self.set_on_drop, Ordering::Release);
        let all = waiters.notify_all();
        drop(waiters);
        all.into_iter().for_each(PendingUnpark::unpark);
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

/// The state that [`Once::call_once_force`] passes to its closure, like [`std::sync::OnceState`].
#[derive(Debug)]
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Returns `true` if an earlier initialization panicked.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}
