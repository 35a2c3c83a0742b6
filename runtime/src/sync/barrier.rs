//! `Barrier`, as std's.

use std::fmt;

use super::waiters::{End, Told, Wait, Waiters};
use crate::green::WaitReason;
use crate::primitive::{Mutex, constructor, lock};

/// Lets a number of waiters go on together, as [`std::sync::Barrier`].
///
/// Differs from std: a waiter that is killed or times out before the others have come leaves, as if
/// it had never been there.
///
/// # Examples
///
/// ```
/// use evy_runtime::sync::{Arc, Barrier};
///
/// let barrier = Arc::new(Barrier::new(3));
/// let others: Vec<_> = (0..2)
///     .map(|_| {
///         let barrier = Arc::clone(&barrier);
///         evy_runtime::spawn(move || barrier.wait().is_leader())
///     })
///     .collect();
/// let mut leaders = usize::from(barrier.wait().is_leader());
/// for other in others {
///     leaders += usize::from(other.join().unwrap());
/// }
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    present: Mutex<Present>,
    number: usize,
}

struct Present {
    count: usize,
    waiters: Waiters,
}

impl Barrier {
    constructor! {
        /// A barrier for so many; zero is as good as one. Never parks.
        #[must_use]
        pub fn new(number: usize) -> Self {
            Self {
                present: Mutex::new(Present {
                    count: 0,
                    waiters: Waiters::new(),
                }),
                number,
            }
        }
    }

    /// Parks until all have come; one of them is told to be the leader.
    pub fn wait(&self) -> BarrierWaitResult {
        loop {
            let mut present = lock(&self.present);
            present.count += 1;
            if present.count >= self.number {
                present.count = 0;
                let all = present.waiters.tell_all();
                drop(present);
                all.into_iter().for_each(Told::unpark);
                return BarrierWaitResult { is_leader: true };
            }
            let wait = Wait {
                state: &self.present,
                queue: |present| &present.waiters,
                end: End::Back,
                reason: WaitReason::Barrier,
                deadline: None,
            };
            let leave = |present: &mut Present| present.count -= 1;
            if wait.park_with(present, None, || {}, leave, drop).is_ok() {
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
