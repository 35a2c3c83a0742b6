//! `shutdown`: ends all green threads of an OS thread in an orderly way.

use std::time::Duration;

use super::interrupt;
use crate::green::{GreenRef, WaitReason, Wake};
use crate::sched::{self, Scheduler};

/// Ends all other green threads of this OS thread, and returns the number of those that are left.
///
/// Waits up to `grace` for them to finish by themselves. Then kills those that are left, and those
/// that they spawn while they unwind, and waits up to `grace` again.
///
/// Without `shutdown`, green threads that are live when their OS thread ends are abandoned: their
/// destructors do not run, and their memory is not freed.
///
/// Parks until all other green threads have finished, for at most twice `grace`.
///
/// # Panics
///
/// Panics if another green thread is in `shutdown` already.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// evy::spawn_n(|| evy::sleep(Duration::from_secs(3600)));
/// assert_eq!(evy::shutdown(Duration::from_millis(10)), 0);
/// ```
pub fn shutdown(grace: Duration) -> usize {
    let scheduler = sched::current();
    let me = scheduler.running();
    let _exit_waiter = scheduler.wait_for_exits(me);
    wait_for_ends(scheduler, me, grace, || {});
    let mut last = 0;
    wait_for_ends(scheduler, me, grace, || {
        if scheduler.newest_id() > last {
            last = kill_younger(scheduler, me, last);
        }
    });
    scheduler.others(me)
}

/// Parks until all others have ended, or for `grace`. Calls `before_wait` before each wait.
fn wait_for_ends(
    scheduler: &Scheduler,
    me: GreenRef,
    grace: Duration,
    mut before_wait: impl FnMut(),
) {
    // The wait ends when all others are gone, even if its deadline never passes. A month is as good
    // as never.
    let month = Duration::from_secs(30 * 24 * 3600);
    let deadline = scheduler.clock.deadline_after(grace.min(month));
    while scheduler.others(me) > 0 {
        before_wait();
        if scheduler.others(me) == 0 {
            return;
        }
        let reason = WaitReason::Other("all green threads to end");
        if interrupt::wait(scheduler, reason, deadline) == Wake::TimedOut {
            return;
        }
    }
}

/// Kills the other green threads with an id above `last`, in the order in which they were spawned.
/// Each may end others or spawn more while it unwinds. Returns the highest id that was found.
fn kill_younger(scheduler: &Scheduler, me: GreenRef, mut last: u64) -> u64 {
    loop {
        let victims = scheduler
            .all_live()
            .into_iter()
            .map(|green| (green.id(), green));
        let victims: Vec<_> = victims.filter(|(id, _)| *id > last).collect();
        let Some((youngest, _)) = victims.last() else {
            return last;
        };
        last = *youngest;
        for (id, victim) in victims {
            // It may have ended meanwhile, and another green thread may have its control block.
            if victim != me && victim.id() == id {
                interrupt::kill(victim, None);
            }
        }
    }
}
