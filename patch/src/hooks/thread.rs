//! `Thread`: one that waits in the table, whether it parks or blocks.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{self, Interruption, WaitEnd};
use libc::timespec;

use super::system::system_call;

/// The calling thread.
#[derive(Clone, Copy, Debug)]
pub(super) enum Thread {
    /// A green thread, which parks.
    Green(hooks::Caller),
    /// Any other, whose OS thread blocks. It waits here only for what the kernel cannot wait for.
    Os,
}

impl From<hooks::Caller> for Thread {
    fn from(caller: hooks::Caller) -> Self {
        Self::Green(caller)
    }
}

impl Thread {
    /// Returns the moment `time` from now. `None` never comes.
    pub(super) fn deadline_after(self, time: Duration) -> Option<Instant> {
        match self {
            Self::Green(caller) => caller.deadline_after(time),
            Self::Os => Instant::now().checked_add(time),
        }
    }

    /// Waits until `is_woken` is one, the deadline passes, or for nothing.
    pub(super) fn wait(
        self,
        is_woken: &AtomicU32,
        reason: WaitReason,
        deadline: Option<Instant>,
    ) -> WaitEnd {
        match self {
            Self::Green(caller) => caller.park(reason, deadline, Interruption::Waits),
            Self::Os => block(is_woken, deadline),
        }
    }

    /// Returns what ends [`wait`](Self::wait) once the word is one.
    pub(super) fn waker(self, is_woken: *const AtomicU32) -> Waker {
        match self {
            Self::Green(caller) => Waker::Green(caller.waker()),
            Self::Os => Waker::Os(is_woken),
        }
    }
}

/// Ends a wait.
#[derive(Debug)]
pub(super) enum Waker {
    Green(hooks::Waker),
    Os(*const AtomicU32),
}

impl Waker {
    /// Ends the wait. Returns `false` if the OS thread has ended, so the wait never ends.
    pub(super) fn wake(&self) -> bool {
        match self {
            Self::Green(waker) => waker.wake(),
            Self::Os(word) => wake_os_thread(*word),
        }
    }

    /// Ends the wait like [`wake`](Self::wake), also in a signal handler.
    pub(super) fn wake_from_signal_handler(&self) -> bool {
        match self {
            Self::Green(waker) => waker.wake_from_signal_handler(),
            Self::Os(word) => wake_os_thread(*word),
        }
    }
}

const WAIT: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const WAKE: i32 = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

fn wake_os_thread(word: *const AtomicU32) -> bool {
    // The word may be gone already. Then the call wakes nothing, or wakes for nothing.
    // SAFETY: the kernel does not access the word.
    unsafe { system_call!(SYS_futex, word, WAKE, 1) };
    true
}

fn block(is_woken: &AtomicU32, deadline: Option<Instant>) -> WaitEnd {
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    if left == Some(Duration::ZERO) {
        return WaitEnd::TimedOut;
    }
    let time = left.map(|left| timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: left.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    if is_woken.load(Acquire) == 0 {
        // SAFETY: the word and the time are valid.
        unsafe { system_call!(SYS_futex, std::ptr::from_ref(is_woken), WAIT, 0, time) };
    }
    WaitEnd::Woken
}
