//! `SpinLock`: a lock that calls no hook.

use std::cell::UnsafeCell;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::system::system_call;

/// A lock around a value, for a few instructions or a short system call.
pub(super) struct SpinLock<T> {
    is_locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is accessed under the lock only.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    pub(super) const fn new(value: T) -> Self {
        Self {
            is_locked: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` with the value. `f` neither parks nor panics.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut tries = 0_u32;
        while self
            .is_locked
            .compare_exchange_weak(false, true, Acquire, Relaxed)
            .is_err()
        {
            tries += 1;
            if tries.is_multiple_of(100) {
                // The holder may have been preempted.
                // SAFETY: the call has no arguments.
                unsafe { system_call!(SYS_sched_yield) };
            } else {
                std::hint::spin_loop();
            }
        }
        // SAFETY: the lock is held.
        let result = f(unsafe { &mut *self.value.get() });
        self.is_locked.store(false, Release);
        result
    }
}
