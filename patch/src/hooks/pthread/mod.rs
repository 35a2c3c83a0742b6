//! Locks and threads of C and C++: the objects of pthreads, semaphores, and those of C11.
//!
//! The C library waits for them with bare system calls, which no hook sees. So a green thread first
//! tries the function that does not wait, and parks in the table ([`wait_table`](super::wait_table)) if
//! that says that the object is taken. All functions that release one look into the table too,
//! whichever thread calls them. OS threads wait as always.
//!
//! A condition variable and a barrier cannot be tried. Green threads wait for the former in the table
//! only, and helper OS threads wait for the latter ([`helper`]).

pub(super) mod barrier;
pub(super) mod c11;
pub(super) mod condvar;
mod deadline;
mod flags;
mod helper;
pub(super) mod join;
pub(super) mod mutex;
pub(super) mod once;
pub(super) mod rwlock;
pub(super) mod semaphore;

use std::ffi::c_int;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::Caller;

use super::wait_table::{self, Key, Outcome};

/// How long a wait for an object lasts at most that other processes may release, which is not seen
/// here. Then it is tried again.
const SHARED_WAIT: Duration = Duration::from_millis(20);

/// What a green thread waits for, and how long.
#[derive(Clone, Copy)]
struct Wait {
    caller: Caller,
    /// The name of the function.
    name: &'static &'static str,
    object: usize,
    deadline: Option<Instant>,
    /// Whether other processes may release the object.
    is_shared: bool,
}

impl Wait {
    /// Parks once. A wait for a shared object may end as if it had been woken, for nothing.
    fn park(self, is_due: impl FnOnce() -> bool, queued: impl FnOnce()) -> Outcome {
        let limit = match self.is_shared {
            true => self.caller.deadline_after(SHARED_WAIT),
            false => None,
        };
        let first = match (self.deadline, limit) {
            (Some(deadline), Some(limit)) => Some(deadline.min(limit)),
            (deadline, limit) => deadline.or(limit),
        };
        let reason = WaitReason::CallOnObject(self.name, self.object);
        let key = Key::Object(self.object);
        match wait_table::wait(self.caller, key, u32::MAX, reason, first, is_due, queued) {
            Outcome::TimedOut if first != self.deadline => Outcome::Woken,
            outcome => outcome,
        }
    }

    /// Parks until `attempt` returns something else than `EBUSY`, and returns that, or why the wait has
    /// ended without it.
    fn acquire(self, attempt: impl Fn() -> c_int) -> c_int {
        loop {
            let mut result = libc::EBUSY;
            let is_due = || {
                result = attempt();
                result == libc::EBUSY
            };
            match self.park(is_due, || ()) {
                Outcome::NotBegun => return result,
                Outcome::Woken => {}
                Outcome::TimedOut => return libc::ETIMEDOUT,
                Outcome::Deadlocked => return libc::EDEADLK,
            }
        }
    }
}
