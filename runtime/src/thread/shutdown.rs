//! The orderly end of all green threads of an OS thread.

use std::time::Duration;

use super::interrupt;
use crate::green::{GreenRef, WaitReason, Wake};
use crate::sched::{self, Scheduler};

/// Ends all other green threads of this OS thread: waits up to `grace` for them to end by
/// themselves, then kills those that are left, and parks until they have unwound, up to `grace`
/// again. Returns how many are left even then.
///
/// Without it, green threads that live when their OS thread ends are abandoned where they stand: no
/// destructor runs, their memory stays.
///
/// # Panics
///
/// If another green thread is in `shutdown` already.
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
    let _last_one_tells = scheduler.wait_for_exits(me);
    wait_for_ends(scheduler, me, grace);
    if scheduler.others(me) > 0 {
        kill_all(scheduler, me);
        wait_for_ends(scheduler, me, grace);
    }
    scheduler.others(me)
}

fn wait_for_ends(scheduler: &Scheduler, me: GreenRef, grace: Duration) {
    // A deadline that never comes still ends when all are gone, and a month is as good as never.
    let month = Duration::from_secs(30 * 24 * 3600);
    let deadline = scheduler.clock.deadline_after(grace.min(month));
    while scheduler.others(me) > 0 {
        let reason = WaitReason::Other("all green threads to end");
        if interrupt::wait(scheduler, reason, deadline) == Wake::TimedOut {
            return;
        }
    }
}

/// Kills in the order of spawning. Each may end or spawn others while it unwinds.
fn kill_all(scheduler: &Scheduler, me: GreenRef) {
    let mut last = 0;
    loop {
        let victims = scheduler
            .all_live()
            .into_iter()
            .map(|green| (green.id(), green));
        let victims: Vec<_> = victims.filter(|(id, _)| *id > last).collect();
        let Some((youngest, _)) = victims.last() else {
            return;
        };
        last = *youngest;
        for (id, victim) in victims {
            // It may have ended meanwhile, and its control block be another one's.
            if victim != me && victim.id() == id {
                interrupt::kill(victim, None);
            }
        }
    }
}
