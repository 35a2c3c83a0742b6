//! Semaphores: lines 100 to 109 of the catalogue of behaviours, each test named after its line; and
//! that every permit is back whatever becomes of those who take and release them.
//!
//! On a held clock a hang is a stall, and a stall is a panic, so no test needs a bound in real time.

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
fn try_acquire_zero() {
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
fn acquire_timeout() {
    in_any_order(|| {
        let permits = Semaphore::new(0);
        let start = now();
        assert!(!permits.acquire_timeout(Duration::from_millis(100)));
        assert_eq!(now() - start, Duration::from_millis(100));
        assert_eq!(permits.balance(), 0);
        // And a permit that comes in time is taken.
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

/// Their deadline has come, but before they run, so has the permit: that wins.
#[test]
fn a_permit_that_comes_at_the_deadline_is_had() {
    virtual_time(|| {
        let permits = Semaphore::new(0);
        let all_due = now() + SHORT;
        let releaser = permits.clone();
        spawn_n(move || {
            sleep(all_due - now());
            releaser.release();
            releaser.release();
        });
        let patient = permits.clone();
        let patient = spawn(move || patient.acquire_timeout(all_due - now()));
        let unwound = permits.clone();
        let unwound = spawn(move || timeout(all_due - now(), || unwound.acquire()));
        assert!(patient.join().unwrap());
        assert_eq!(unwound.join().unwrap(), Ok(()));
        assert_eq!(permits.balance(), 0);
    });
}

/// What a panic says.
fn message(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    })
    .expect("it says why")
}

/// Python finds these at run time: a number of permits that is negative or no number, an acquire that
/// does not block and yet has a timeout. None of them compiles here, for `new` takes a `usize`, and
/// `try_acquire` no timeout. What is left are numbers that do not fit.
#[test]
fn bad_args() {
    virtual_time(|| {
        let said = message(|| drop(CappedSemaphore::new(2, 1)));
        assert!(said.contains("begin with 2 permits") && said.contains("1 is the limit"));
        let full = Semaphore::new(usize::MAX);
        assert!(message(|| full.release()).contains("fewer permits"));
        assert!(full.try_acquire());
        full.release();
    });
}

#[test]
fn fifo() {
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
fn contention() {
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
        assert_eq!(one + other, 500, "somebody is always inside");
        assert!(one.abs_diff(other) * 10 < one.min(other), "{one} {other}");
    });
}

/// In Eventlet whoever comes right after a release may take the permit of one who waits.
#[test]
fn barging() {
    in_any_order(|| {
        let permits = Semaphore::new(0);
        let queued = permits.clone();
        let waiter = spawn(move || queued.acquire());
        wait_all_parked();
        permits.release();
        assert!(!permits.try_acquire(), "it is the waiter's");
        waiter.join().unwrap();
        permits.release();
        assert!(permits.try_acquire());
    });
}

#[test]
fn bounded_over_release() {
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
fn capped() {
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
        // At the limit: it parks until there is room.
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
fn capped_zero() {
    in_any_order(|| {
        let meeting = CappedSemaphore::new(0, 0);
        assert!(!meeting.try_acquire() && !meeting.try_release());
        let acquirer = meeting.clone();
        let acquirer = spawn(move || acquirer.acquire());
        meeting.release();
        acquirer.join().unwrap();

        let releaser = meeting.clone();
        let releaser = spawn(move || releaser.release());
        wait_all_parked();
        assert!(!releaser.is_finished());
        assert!(meeting.try_acquire());
        releaser.join().unwrap();
        assert_eq!(meeting.balance(), 0);
    });
}

/// Those who wait on either side are served in the order in which they came.
#[test]
fn capped_fifo() {
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
fn balance() {
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

/// How often each of two takes or releases a permit.
const TURNS: usize = 3;

/// Counts those who are inside, for as long as the guard lives; there is room for one.
struct Inside<'a>(&'a Cell<bool>);

impl<'a> Inside<'a> {
    fn enter(inside: &'a Cell<bool>) -> Self {
        assert!(!inside.replace(true), "one permit, one inside");
        Self(inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Strikes one of two green threads that both do `turn` with `new`'s semaphore of one permit, and
/// sees that it comes to harm and the permit does not.
fn struck<S: Clone + 'static>(new: fn() -> S, turn: fn(&S, &Cell<bool>), check: fn(&S)) {
    let harmed = AtomicUsize::new(0);
    let struck = inject_faults(|injector| {
        let (permits, inside) = (new(), Rc::new(Cell::new(false)));
        let turns = || {
            let (permits, inside) = (permits.clone(), Rc::clone(&inside));
            move || (0..TURNS).for_each(|_| turn(&permits, &inside))
        };
        let first = spawn(turns());
        let victim = injector.spawn(turns());
        let last = spawn(turns());
        let victim = victim.join();
        harmed.fetch_add((!matches!(victim, Ok(Ok(())))).into(), Ordering::Relaxed);
        first.join().expect("there is a permit for everybody");
        last.join().expect("there is a permit for everybody");
        check(&permits);
    });
    assert!(struck >= 4 * TURNS, "{struck}");
    assert_eq!(struck, harmed.into_inner());
}

/// There is one permit, and nobody waits for it.
fn one_is_left(permits: &Semaphore) {
    assert_eq!(permits.balance(), 1);
    assert!(permits.try_acquire() && !permits.try_acquire());
}

#[test]
fn a_permit_struck_anywhere_is_released() {
    let turn = |permits: &Semaphore, inside: &Cell<bool>| {
        let _permit = permits.acquire_guard();
        let _inside = Inside::enter(inside);
        sleep(SHORT);
    };
    struck(|| Semaphore::new(1), turn, one_is_left);
}

#[test]
fn an_acquirer_struck_anywhere_loses_no_permit() {
    let turn = |permits: &Semaphore, inside: &Cell<bool>| {
        permits.acquire();
        // A permit without a guard: whoever holds it must not be interrupted.
        shield(|| {
            let _inside = Inside::enter(inside);
            sleep(SHORT);
        });
        permits.release();
    };
    struck(|| Semaphore::new(1), turn, one_is_left);
}

#[test]
fn an_acquirer_with_a_timeout_struck_anywhere_loses_no_permit() {
    let turn = |permits: &Semaphore, inside: &Cell<bool>| {
        assert!(permits.acquire_timeout(LONG));
        shield(|| {
            let _inside = Inside::enter(inside);
            sleep(SHORT);
        });
        permits.release();
    };
    struck(|| Semaphore::new(1), turn, one_is_left);
}

#[test]
fn an_acquirer_of_a_bounded_semaphore_struck_anywhere_loses_no_permit() {
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
    struck(|| BoundedSemaphore::new(1), turn, check);
}

/// Runs `round` with a semaphore for each limit, and with others who act at once or at leisure. It
/// leaves the semaphore as it was, and says whether the victim came to harm.
fn struck_capped(round: impl Fn(&FaultInjector, &CappedSemaphore, Duration) -> bool + Sync) {
    for limit in [0, 1, 2] {
        for pace in [Duration::ZERO, SHORT] {
            let harmed = AtomicUsize::new(0);
            let struck = inject_faults(|injector| {
                let permits = CappedSemaphore::new(0, limit);
                let before = permits.balance();
                let came_to_harm = round(injector, &permits, pace);
                assert_eq!(permits.balance(), before, "no permit, and nobody waits");
                harmed.fetch_add(came_to_harm.into(), Ordering::Relaxed);
            });
            assert!(struck >= 4, "{struck} at limit {limit}");
            assert_eq!(struck, harmed.into_inner());
        }
    }
}

/// Acquires until nobody releases any more, and says how often.
fn drain(permits: &CappedSemaphore, pace: Duration) -> usize {
    let mut had = 0;
    while timeout(LONG, || permits.acquire()).is_ok() {
        had += 1;
        sleep(pace);
    }
    had
}

#[test]
fn an_acquirer_of_a_capped_semaphore_struck_anywhere_loses_no_permit() {
    struck_capped(|injector, permits, pace| {
        let had = Rc::new(Cell::new(0));
        let turns = || {
            let (permits, had) = (permits.clone(), Rc::clone(&had));
            move || {
                for _ in 0..TURNS {
                    permits.acquire();
                    had.set(had.get() + 1);
                }
            }
        };
        let victim = injector.spawn(turns());
        let rival = spawn(turns());
        let released = permits.clone();
        let releaser = spawn(move || {
            for _ in 0..TURNS * 2 {
                released.release();
                sleep(pace);
            }
        });
        let victim = victim.join();
        rival.join().expect("there are permits for both");
        assert_eq!(drain(permits, pace) + had.get(), TURNS * 2);
        releaser.join().expect("all were acquired");
        !matches!(victim, Ok(Ok(())))
    });
}

#[test]
fn a_releaser_of_a_capped_semaphore_struck_anywhere_releases_once_or_not() {
    struck_capped(|injector, permits, pace| {
        // How often each of them has begun to release, and has done it.
        let turns = |begun: &Rc<Cell<usize>>, done: &Rc<Cell<usize>>| {
            let (permits, begun, done) = (permits.clone(), Rc::clone(begun), Rc::clone(done));
            move || {
                for _ in 0..TURNS {
                    begun.set(begun.get() + 1);
                    permits.release();
                    done.set(done.get() + 1);
                    // Where there is room, this is where it can be struck.
                    yield_now();
                }
            }
        };
        let (begun, done) = (Rc::default(), Rc::default());
        let victim = injector.spawn(turns(&begun, &done));
        let rival = spawn(turns(&Rc::default(), &Rc::default()));
        let acquirer = permits.clone();
        let acquirer = spawn(move || drain(&acquirer, pace));
        let victim = victim.join();
        rival.join().expect("there is room for both");
        let released = acquirer.join().expect("it gives up when nothing comes") - TURNS;
        match &victim {
            // Nobody had made room for it: it has not released.
            Ok(Err(Elapsed { .. })) => assert_eq!(released, done.get()),
            // Somebody had, or it was in between.
            Err(error) if error.is_panic() => assert_eq!(released, begun.get()),
            Err(_) => assert!((done.get()..=begun.get()).contains(&released)),
            Ok(Ok(())) => assert_eq!(released, TURNS),
        }
        !matches!(victim, Ok(Ok(())))
    });
}
