//! Locks and threads of C and C++: the objects of pthreads, semaphores, and those of C11.
//!
//! The C library waits for them with bare system calls, which no hook sees. So a green thread first
//! tries the function that does not wait, and parks in the table ([`wait_table`](super::wait_table)) if
//! that says that the object is taken. All functions that release one look into the table too,
//! whichever thread calls them. OS threads wait as always.
//!
//! A condition variable and a barrier cannot be tried. Green threads wait for the former in the table
//! only, and helper OS threads wait for the latter ([`helper`](super::helper)).

pub(super) mod barrier;
pub(super) mod c11;
pub(super) mod condvar;
pub(super) mod creation;
mod deadline;
mod flags;
mod inheritance;
pub(super) mod join;
pub(super) mod mutex;
pub(super) mod once;
pub(super) mod rwlock;
pub(super) mod semaphore;

use std::ffi::c_int;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::WaitReason;

use super::helper::Helpers;
use super::thread::Thread;
use super::wait_table::Key;
use super::waits::{self, Outcome};

/// Calls that only an OS thread can wait in. Each has a helper of its own, because the end of one may be
/// the reason for that of another.
static WAITS: Helpers = Helpers::new(usize::MAX);

/// What a green thread waits for, and how long.
#[derive(Clone, Copy)]
struct Wait {
    thread: Thread,
    /// The name of the function.
    name: &'static &'static str,
    object: usize,
    deadline: Option<Instant>,
    /// Whether other processes may release the object.
    is_shared: bool,
}

impl Wait {
    /// Returns how long it is until the deadline.
    fn left(self) -> Duration {
        match self.deadline {
            None => Duration::MAX,
            Some(at) => at.saturating_duration_since(Instant::now()),
        }
    }

    fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// Waits once. A wait for a shared object may end as if it had been woken, for nothing.
    fn once(self, is_due: impl FnOnce() -> bool, queued: impl FnOnce()) -> Outcome {
        let reason = WaitReason::CallOnObject(self.name, self.object);
        waits::wait(
            self.thread,
            Key::Object(self.object),
            u32::MAX,
            reason,
            self.deadline,
            self.is_shared,
            is_due,
            queued,
        )
    }

    /// Waits until `attempt` returns something else than `EBUSY`, and returns that, or why the wait has
    /// ended without it.
    fn acquire(self, attempt: impl Fn() -> c_int) -> c_int {
        loop {
            let mut result = libc::EBUSY;
            let is_due = || {
                result = attempt();
                result == libc::EBUSY
            };
            match self.once(is_due, || ()) {
                Outcome::NotBegun => return result,
                Outcome::Woken => {}
                Outcome::TimedOut => return libc::ETIMEDOUT,
                Outcome::Deadlocked => return libc::EDEADLK,
            }
        }
    }
}
