//! `Once`, as std's.

use std::fmt;

use super::wait_list::{PendingUnpark, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{AtomicU8, Mutex, Ordering, const_fn_unless_loom, lock};

const NEW: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const POISONED: u8 = 3;

/// An initialisation that runs once, as [`std::sync::Once`]: others who come park meanwhile. The
/// initialisation itself may park.
///
/// If it unwinds, by a panic, a kill or a timeout, it is poisoned.
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
    /// Changes under the lock, except to `DONE` and `POISONED`, which the one that runs it sets.
    state: AtomicU8,
    waiters: Mutex<WaitList>,
}

impl Once {
    const_fn_unless_loom! {
        /// One that has not run. Never parks.
        #[must_use]
        pub fn new() -> Self {
            Self {
                state: AtomicU8::new(NEW),
                waiters: Mutex::new(WaitList::new()),
            }
        }
    }

    /// Runs `f` if nobody has, and parks while somebody else does. Parks where `f` does.
    ///
    /// Calling it from within `f` waits for ever.
    ///
    /// # Panics
    ///
    /// If an earlier `f` unwound, or if this one panics.
    #[inline]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            self.call(false, |_| f());
        }
    }

    /// As [`call_once`](Self::call_once), also where an earlier `f` unwound.
    ///
    /// # Panics
    ///
    /// If this `f` panics.
    #[inline]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            self.call(true, f);
        }
    }

    /// Whether it has run to its end. Never parks.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Parks until somebody has run it.
    ///
    /// # Panics
    ///
    /// If it unwound.
    pub fn wait(&self) {
        assert!(self.wait_for_end() != POISONED, "{POISON}");
    }

    /// Parks until somebody has run it, and neither that nor anybody before unwound.
    pub fn wait_force(&self) {
        while !self.is_completed() {
            self.park_unless(|state| state == DONE);
        }
    }

    /// Parks until it is done or poisoned.
    fn wait_for_end(&self) -> u8 {
        self.park_unless(|state| state == DONE || state == POISONED)
    }

    #[cold]
    fn call(&self, force: bool, f: impl FnOnce(&OnceState)) {
        loop {
            let waiters = lock(&self.waiters);
            match self.state.load(Ordering::Acquire) {
                DONE => return,
                POISONED if !force => panic!("{POISON}"),
                RUNNING => {
                    drop(waiters);
                    self.park_unless(|state| state != RUNNING);
                }
                before => {
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

    /// Parks until the next end, unless `over` says of the state that there is nothing to wait for.
    fn park_unless(&self, over: impl Fn(u8) -> bool) -> u8 {
        loop {
            let waiters = lock(&self.waiters);
            let state = self.state.load(Ordering::Acquire);
            if over(state) {
                return state;
            }
            let wait = WaitParams {
                state: &self.waiters,
                queue: |waiters| waiters,
                position: Position::Back,
                reason: WaitReason::Once,
                deadline: None,
            };
            // Woken or not, it looks again.
            wait.park(waiters, None, drop).ok();
        }
    }
}

const POISON: &str = "an initialisation that is run once unwound before it was done";

/// While the initialisation runs; its end wakes everybody, whichever it is.
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

/// What [`Once::call_once_force`] tells; as [`std::sync::OnceState`].
#[derive(Debug)]
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Whether an earlier call unwound.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}
