//! `Barrier`: a point at which several waiters meet.

use std::fmt;

use super::wait_list::{IfAbandoned, PendingUnpark, Position, WaitList, WaitParams};
use crate::green::WaitReason;
use crate::primitive::{Mutex, const_fn_unless_loom, lock};
use crate::thread::charge;

/// A barrier at which a number of green threads or OS threads wait for each other, like
/// [`std::sync::Barrier`].
///
/// # Differences from std
///
/// - A waiter that is killed or times out before all others have arrived leaves the barrier, as if
///   it had never arrived.
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
        /// Creates a barrier for `number` green threads or OS threads. Zero behaves like one.
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

    /// Waits until all have arrived at the barrier. One of them, the last to arrive, is made the
    /// leader.
    ///
    /// Parks until then.
    pub fn wait(&self) -> BarrierWaitResult {
        charge(|| self.number > 1);
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
                if_abandoned: IfAbandoned::Leaves,
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

/// The result of [`Barrier::wait`], like [`std::sync::BarrierWaitResult`].
#[derive(Debug)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Returns `true` for the leader, which arrived last.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}
