//! `Barrier`, as std's.

use std::fmt;

use super::wait_list::{PendingUnpark, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{Mutex, const_fn_unless_loom, lock};

/// Lets a number of waiters go on together, as [`std::sync::Barrier`].
///
/// Differs from std: a waiter that is killed or times out before the others have come leaves, as if
/// it had never been there.
///
/// # Examples
///
/// ```
/// use evy::sync::{Arc, Barrier};
///
/// let barrier = Arc::new(Barrier::new(3));
/// let others: Vec<_> = (0..2)
///     .map(|_| {
///         let barrier = Arc::clone(&barrier);
///         evy::spawn(move || barrier.wait().is_leader())
///     })
///     .collect();
/// let mut leaders = usize::from(barrier.wait().is_leader());
/// for other in others {
///     leaders += usize::from(other.join().unwrap());
/// }
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    state: Mutex<BarrierState>,
    number: usize,
}

struct BarrierState {
    count: usize,
    waiters: WaitList,
}

impl Barrier {
    const_fn_unless_loom! {
        /// A barrier for so many; zero is as good as one. Never parks.
        #[must_use]
        pub fn new(number: usize) -> Self {
            Self {
                state: Mutex::new(BarrierState {
                    count: 0,
                    waiters: WaitList::new(),
                }),
                number,
            }
        }
    }

    /// Parks until all have come; one of them is told to be the leader.
    pub fn wait(&self) -> BarrierWaitResult {
        loop {
            let mut state = lock(&self.state);
            state.count += 1;
            if state.count >= self.number {
                state.count = 0;
                let all = state.waiters.notify_all();
                drop(state);
                all.into_iter().for_each(PendingUnpark::unpark);
                return BarrierWaitResult { is_leader: true };
            }
            let wait = WaitParams {
                state: &self.state,
                queue: |state| &state.waiters,
                position: Position::Back,
                reason: WaitReason::Barrier,
                deadline: None,
            };
            let leave = |state: &mut BarrierState| state.count -= 1;
            if wait.park_with(state, None, || {}, leave, drop).is_ok() {
                return BarrierWaitResult { is_leader: false };
            }
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// As [`std::sync::BarrierWaitResult`].
#[derive(Debug)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Whether this is the one that came last.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}
