//! Tests of the semaphores: acquiring and releasing, and that no permit is lost if a green thread
//! that acquires or releases is interrupted.
//!
//! On a paused clock a hang is a deadlock, and a deadlock is a panic, so no test needs a limit in
//! real time.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::lowlevel::now;
use evy_runtime::test::{FaultInjector, inject_faults, virtual_time, wait_all_parked};
use evy_runtime::{
    BoundedSemaphore, CappedSemaphore, Elapsed, Semaphore, shield, sleep, spawn, spawn_n, timeout,
    yield_now,
};
use evy_test_support::{Log, in_any_order};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn try_acquire_fails_if_there_is_no_permit() {
    in_any_order(|| {
        let permits = Semaphore::new(0);
        assert!(!permits.try_acquire());
        assert_eq!(permits.balance(), 0);
        permits.release();
        assert!(permits.try_acquire());
        assert!(!permits.try_acquire());
    });
}

#[test]
fn acquire_timeout_fails_if_no_permit_is_released_in_time() {
    in_any_order(|| {
        let permits = Semaphore::new(0);
        let start = now();
        assert!(!permits.acquire_timeout(Duration::from_millis(100)));
        assert_eq!(now() - start, Duration::from_millis(100));
        assert_eq!(permits.balance(), 0);
        // A permit that is released in time is acquired.
        let late = permits.clone();
        spawn_n(move || {
            sleep(SHORT);
            late.release();
        });
        assert!(permits.acquire_timeout(SHORT * 2));
        assert_eq!(now() - start, Duration::from_millis(105));
        assert_eq!(permits.balance(), 0);
    });
}

/// The deadlines pass and the permits are released before the waiters run. The permits take
/// precedence.
#[test]
fn a_permit_that_is_released_at_the_deadline_is_acquired() {
    virtual_time(|| {
        let permits = Semaphore::new(0);
        let all_due = now() + SHORT;
        let releaser = permits.clone();
        spawn_n(move || {
            sleep(all_due - now());
            releaser.release();
            releaser.release();
        });
        let timed = permits.clone();
        let timed = spawn(move || timed.acquire_timeout(all_due - now()));
        let scoped = permits.clone();
        let scoped = spawn(move || timeout(all_due - now(), || scoped.acquire()));
        assert!(timed.join().unwrap());
        assert_eq!(scoped.join().unwrap(), Ok(()));
        assert_eq!(permits.balance(), 0);
    });
}

/// Returns the message with which `f` panics.
fn message(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("the closure panics");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    })
    .expect("the panic has a message")
}

/// Python detects other mistakes at run time: a number of permits that is negative or not a number,
/// and an acquire that does not block but has a timeout. Neither compiles here, because `new` takes
/// a `usize` and `try_acquire` has no timeout. Only numbers out of range remain.
#[test]
fn a_number_of_permits_out_of_range_is_a_panic() {
    virtual_time(|| {
        let text = message(|| drop(CappedSemaphore::new(2, 1)));
        assert!(text.contains("begin with 2 permits") && text.contains("limit of 1"));
        let full = Semaphore::new(usize::MAX);
        assert!(message(|| full.release()).contains("more than `usize::MAX` permits"));
        assert!(full.try_acquire());
        full.release();
    });
}

#[test]
fn acquirers_are_served_in_fifo_order() {
    virtual_time(|| {
        let (permits, log) = (Semaphore::new(0), Log::new());
        for n in 0..5 {
            let (permits, log) = (permits.clone(), log.clone());
            spawn_n(move || {
                permits.acquire();
                log.add(n);
            });
        }
        wait_all_parked();
        assert_eq!(permits.balance(), -5);
        (0..5).for_each(|_| permits.release());
        wait_all_parked();
        assert_eq!(log.take(), [0, 1, 2, 3, 4]);
        assert_eq!(permits.balance(), 0);
    });
}

#[test]
fn two_contending_green_threads_acquire_equally_often() {
    virtual_time(|| {
        let mutex = Semaphore::new(1);
        let counts = Rc::new([Cell::new(0u32), Cell::new(0)]);
        for own in 0..2 {
            let (mutex, counts) = (mutex.clone(), Rc::clone(&counts));
            spawn_n(move || {
                loop {
                    let _permit = mutex.acquire_guard();
                    counts[own].set(counts[own].get() + 1);
                    sleep(Duration::from_millis(1));
                }
            });
        }
        sleep(Duration::from_millis(500));
        let (one, other) = (counts[0].get(), counts[1].get());
        assert_eq!(one + other, 500, "the permit is always held");
        assert!(one.abs_diff(other) * 10 < one.min(other), "{one} {other}");
    });
}

/// In Eventlet a non-blocking acquire right after a release may take the permit of a waiter.
#[test]
fn try_acquire_cannot_take_the_permit_of_a_waiter() {
    in_any_order(|| {
        let permits = Semaphore::new(0);
        let queued = permits.clone();
        let waiter = spawn(move || queued.acquire());
        wait_all_parked();
        permits.release();
        assert!(!permits.try_acquire(), "the permit belongs to the waiter");
        waiter.join().unwrap();
        permits.release();
        assert!(permits.try_acquire());
    });
}

#[test]
fn releasing_a_bounded_semaphore_more_often_than_acquiring_it_is_an_error() {
    in_any_order(|| {
        let permits = BoundedSemaphore::new(2);
        let error = permits.release().unwrap_err();
        assert!(error.to_string().contains("more often than acquired"));
        permits.acquire();
        assert!(permits.try_acquire() && !permits.try_acquire());
        assert!(!permits.acquire_timeout(SHORT));
        permits.release().unwrap();
        permits.release().unwrap();
        assert_eq!(permits.release(), Err(error));
        assert_eq!(permits.balance(), 2);
    });
}

#[test]
fn a_release_at_the_limit_of_a_capped_semaphore_parks_until_there_is_room() {
    virtual_time(|| {
        let permits = CappedSemaphore::new(2, 3);
        permits.acquire();
        permits.acquire();
        let releaser = permits.clone();
        let releaser = spawn(move || releaser.release());
        permits.acquire();
        releaser.join().unwrap();
        assert_eq!(permits.balance(), -3);
        (0..3).for_each(|_| permits.release());
        assert_eq!(permits.balance(), 3);
        assert!(!permits.try_release());
        // At the limit, `release` parks until there is room.
        let (releaser, log) = (permits.clone(), Log::new());
        let released = log.clone();
        let releaser = spawn(move || {
            releaser.release();
            released.add("released");
        });
        wait_all_parked();
        assert!(log.take().is_empty());
        assert_eq!(permits.balance(), 4);
        permits.acquire();
        releaser.join().unwrap();
        assert_eq!(log.take(), ["released"]);
        assert_eq!(permits.balance(), 3);
    });
}

#[test]
fn at_a_limit_of_zero_each_release_waits_for_an_acquire() {
    in_any_order(|| {
        let rendezvous = CappedSemaphore::new(0, 0);
        assert!(!rendezvous.try_acquire() && !rendezvous.try_release());
        let acquirer = rendezvous.clone();
        let acquirer = spawn(move || acquirer.acquire());
        rendezvous.release();
        acquirer.join().unwrap();

        let releaser = rendezvous.clone();
        let releaser = spawn(move || releaser.release());
        wait_all_parked();
        assert!(!releaser.is_finished());
        assert!(rendezvous.try_acquire());
        releaser.join().unwrap();
        assert_eq!(rendezvous.balance(), 0);
    });
}

#[test]
fn acquirers_and_releasers_of_a_capped_semaphore_are_served_in_fifo_order() {
    virtual_time(|| {
        for limit in [0, 1, 3] {
            let (permits, log) = (CappedSemaphore::new(0, limit), Log::new());
            for n in 0..5 {
                let (permits, log) = (permits.clone(), log.clone());
                spawn_n(move || {
                    permits.acquire();
                    log.add(n);
                });
            }
            wait_all_parked();
            (0..5 + limit).for_each(|_| permits.release());
            wait_all_parked();
            assert_eq!(log.take(), [0, 1, 2, 3, 4]);
            for n in 0..5 {
                let (permits, log) = (permits.clone(), log.clone());
                spawn_n(move || {
                    permits.release();
                    log.add(n);
                });
            }
            wait_all_parked();
            assert!(log.take().is_empty());
            (0..5 + limit).for_each(|_| permits.acquire());
            wait_all_parked();
            assert_eq!(log.take(), [0, 1, 2, 3, 4]);
        }
    });
}

#[test]
fn balance_is_the_number_of_permits_minus_that_of_waiters() {
    in_any_order(|| {
        let permits = Semaphore::new(2);
        assert_eq!(permits.balance(), 2);
        let waiters = [(); 5].map(|()| {
            let permits = permits.clone();
            spawn(move || permits.acquire())
        });
        wait_all_parked();
        assert_eq!(permits.balance(), -3);
        permits.release();
        assert_eq!(permits.balance(), -2);
        wait_all_parked();
        waiters.iter().for_each(|waiter| waiter.kill());
        assert_eq!(permits.balance(), 0);
    });
}

/// The number of times that each green thread acquires or releases a permit.
const TURNS: usize = 3;

/// Marks the critical section as occupied while the guard lives. Only one green thread may be
/// inside.
struct Inside<'a>(&'a Cell<bool>);

impl<'a> Inside<'a> {
    fn enter(inside: &'a Cell<bool>) -> Self {
        assert!(!inside.replace(true), "one permit admits one green thread");
        Self(inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Injects faults into one of three green threads that run `turn` with the semaphore of one permit
/// that `new` creates. Checks that each fault makes its victim fail, and that the permit is not
/// lost.
fn check_with_faults<S: Clone + 'static>(new: fn() -> S, turn: fn(&S, &Cell<bool>), check: fn(&S)) {
    let failures = AtomicUsize::new(0);
    let faults = inject_faults(|injector| {
        let (permits, inside) = (new(), Rc::new(Cell::new(false)));
        let turns = || {
            let (permits, inside) = (permits.clone(), Rc::clone(&inside));
            move || (0..TURNS).for_each(|_| turn(&permits, &inside))
        };
        let first = spawn(turns());
        let victim = injector.spawn(turns());
        let last = spawn(turns());
        let victim = victim.join();
        failures.fetch_add((!matches!(victim, Ok(Ok(())))).into(), Ordering::Relaxed);
        first.join().expect("the permit is released to each");
        last.join().expect("the permit is released to each");
        check(&permits);
    });
    assert!(faults >= 4 * TURNS, "{faults}");
    assert_eq!(faults, failures.into_inner());
}

/// Checks that there is one permit, and no waiter.
fn one_is_left(permits: &Semaphore) {
    assert_eq!(permits.balance(), 1);
    assert!(permits.try_acquire() && !permits.try_acquire());
}

#[test]
fn a_fault_in_the_holder_of_a_guard_releases_the_permit() {
    let turn = |permits: &Semaphore, inside: &Cell<bool>| {
        let _permit = permits.acquire_guard();
        let _inside = Inside::enter(inside);
        sleep(SHORT);
    };
    check_with_faults(|| Semaphore::new(1), turn, one_is_left);
}

#[test]
fn a_fault_in_acquire_loses_no_permit() {
    let turn = |permits: &Semaphore, inside: &Cell<bool>| {
        permits.acquire();
        // No guard releases this permit on unwinding, so its holder must not be interrupted.
        shield(|| {
            let _inside = Inside::enter(inside);
            sleep(SHORT);
        });
        permits.release();
    };
    check_with_faults(|| Semaphore::new(1), turn, one_is_left);
}

#[test]
fn a_fault_in_acquire_timeout_loses_no_permit() {
    let turn = |permits: &Semaphore, inside: &Cell<bool>| {
        assert!(permits.acquire_timeout(LONG));
        shield(|| {
            let _inside = Inside::enter(inside);
            sleep(SHORT);
        });
        permits.release();
    };
    check_with_faults(|| Semaphore::new(1), turn, one_is_left);
}

#[test]
fn a_fault_in_acquire_of_a_bounded_semaphore_loses_no_permit() {
    let turn = |permits: &BoundedSemaphore, inside: &Cell<bool>| {
        permits.acquire();
        shield(|| {
            let _inside = Inside::enter(inside);
            sleep(SHORT);
        });
        permits.release().expect("it was acquired");
    };
    let check = |permits: &BoundedSemaphore| {
        assert_eq!(permits.balance(), 1);
        assert!(permits.release().is_err());
        assert!(permits.try_acquire() && !permits.try_acquire());
    };
    check_with_faults(|| BoundedSemaphore::new(1), turn, check);
}

/// Injects faults into `round` with a semaphore for each limit, with and without a pause between
/// the operations of the other green threads. `round` leaves the semaphore as it was, and returns
/// whether the victim failed.
fn check_capped_with_faults(
    round: impl Fn(&FaultInjector, &CappedSemaphore, Duration) -> bool + Sync,
) {
    for limit in [0, 1, 2] {
        for pace in [Duration::ZERO, SHORT] {
            let failures = AtomicUsize::new(0);
            let faults = inject_faults(|injector| {
                let permits = CappedSemaphore::new(0, limit);
                let before = permits.balance();
                let victim_failed = round(injector, &permits, pace);
                assert_eq!(permits.balance(), before, "no permit, no waiter");
                failures.fetch_add(victim_failed.into(), Ordering::Relaxed);
            });
            assert!(faults >= 4, "{faults} at limit {limit}");
            assert_most_fail(faults, failures.into_inner());
        }
    }
}

/// Acquires permits until no more are released, and returns how many it has acquired.
fn drain(permits: &CappedSemaphore, pace: Duration) -> usize {
    let mut acquired = 0;
    while timeout(LONG, || permits.acquire()).is_ok() {
        acquired += 1;
        sleep(pace);
    }
    acquired
}

#[test]
fn a_fault_in_acquire_of_a_capped_semaphore_loses_no_permit() {
    check_capped_with_faults(|injector, permits, pace| {
        let acquired = Rc::new(Cell::new(0));
        let turns = || {
            let (permits, acquired) = (permits.clone(), Rc::clone(&acquired));
            move || {
                for _ in 0..TURNS {
                    permits.acquire();
                    acquired.set(acquired.get() + 1);
                }
            }
        };
        let victim = injector.spawn(turns());
        let other = spawn(turns());
        let released = permits.clone();
        let releaser = spawn(move || {
            for _ in 0..TURNS * 2 {
                released.release();
                sleep(pace);
            }
        });
        let victim = victim.join();
        other.join().expect("there are permits for both");
        assert_eq!(drain(permits, pace) + acquired.get(), TURNS * 2);
        releaser.join().expect("all were acquired");
        !matches!(victim, Ok(Ok(())))
    });
}

#[test]
fn available_permits_is_the_number_of_permits_that_can_be_taken_without_parking() {
    in_any_order(|| {
        let permits = Semaphore::new(2);
        let bounded = BoundedSemaphore::new(1);
        assert_eq!(
            (permits.available_permits(), bounded.available_permits()),
            (2, 1)
        );
        permits.acquire();
        permits.acquire();
        bounded.acquire();
        let other = permits.clone();
        let waiter = spawn(move || other.acquire());
        wait_all_parked();
        assert_eq!(
            (permits.available_permits(), bounded.available_permits()),
            (0, 0)
        );
        assert_eq!(permits.balance(), -1);
        permits.release();
        assert_eq!(permits.available_permits(), 0, "handed off to the waiter");
        waiter.join().unwrap();

        let capped = CappedSemaphore::new(1, 1);
        let other = capped.clone();
        let releaser = spawn(move || other.release());
        wait_all_parked();
        assert_eq!(capped.available_permits(), 2);
        assert!(capped.try_acquire() && capped.try_acquire() && !capped.try_acquire());
        assert_eq!(capped.available_permits(), 0);
        releaser.join().unwrap();
    });
}

#[test]
fn the_balance_of_the_largest_semaphore_is_not_negative() {
    assert_eq!(Semaphore::new(usize::MAX).balance(), isize::MAX);
    assert_eq!(BoundedSemaphore::new(usize::MAX).balance(), isize::MAX);
    assert!(CappedSemaphore::new(usize::MAX, usize::MAX).balance() > 0);
    assert!(CappedSemaphore::new(0, usize::MAX).balance() < 0);
}

#[test]
fn a_guard_of_a_capped_semaphore_gives_its_permit_back_without_parking() {
    in_any_order(|| {
        let permits = CappedSemaphore::new(1, 1);
        let guard = permits.acquire_guard();
        assert_eq!(permits.available_permits(), 0);
        // Another green thread fills the room meanwhile.
        assert!(permits.try_release());
        drop(guard);
        assert_eq!(permits.available_permits(), 2, "beyond the limit");
        assert!(!permits.try_release());
        drop(permits.acquire_guard());
        // The permit of a guard is handed off to the longest waiter.
        let guards = [permits.acquire_guard(), permits.acquire_guard()];
        let other = permits.clone();
        let waiter = spawn(move || drop(other.acquire_guard()));
        wait_all_parked();
        assert!(!waiter.is_finished());
        drop(guards);
        waiter.join().unwrap();
        assert_eq!(permits.available_permits(), 2);
    });
}

#[test]
fn a_guard_of_a_capped_semaphore_gives_its_permit_back_when_its_holder_is_killed() {
    in_any_order(|| {
        let permits = CappedSemaphore::new(1, 1);
        let other = permits.clone();
        let holder = spawn(move || {
            let _guard = other.acquire_guard();
            sleep(LONG);
        });
        wait_all_parked();
        assert_eq!(permits.available_permits(), 0);
        holder.kill();
        assert_eq!(permits.available_permits(), 1);
    });
}

#[test]
fn a_fault_in_release_of_a_capped_semaphore_releases_once_or_not_at_all() {
    check_capped_with_faults(|injector, permits, pace| {
        // Counts the calls to `release` that have begun, and those that have returned.
        let turns = |begun: &Rc<Cell<usize>>, done: &Rc<Cell<usize>>| {
            let (permits, begun, done) = (permits.clone(), Rc::clone(begun), Rc::clone(done));
            move || {
                for _ in 0..TURNS {
                    begun.set(begun.get() + 1);
                    permits.release();
                    done.set(done.get() + 1);
                    // If there is room, `release` does not park, and the fault is injected here.
                    yield_now();
                }
            }
        };
        let (begun, done) = (Rc::default(), Rc::default());
        let victim = injector.spawn(turns(&begun, &done));
        let other = spawn(turns(&Rc::default(), &Rc::default()));
        let acquirer = permits.clone();
        let acquirer = spawn(move || drain(&acquirer, pace));
        let victim = victim.join();
        other.join().expect("there is room for both");
        let released = acquirer.join().expect("it ends when no permit comes") - TURNS;
        match &victim {
            // No acquirer had made room, so the last call has not released.
            Ok(Err(Elapsed { .. })) => assert_eq!(released, done.get()),
            // An acquirer may have made room for the last call.
            Err(_) => assert!((done.get()..=begun.get()).contains(&released)),
            Ok(Ok(())) => assert_eq!(released, TURNS),
        }
        !matches!(victim, Ok(Ok(())))
    });
}

/// Checks that faults make their victims fail. What the victim waits for may happen at the same time
/// as a timeout, which is one fault in four; then the timeout has no effect.
fn assert_most_fail(faults: usize, failures: usize) {
    assert!(
        failures <= faults && failures >= faults - faults / 4,
        "{failures} of {faults}"
    );
}
