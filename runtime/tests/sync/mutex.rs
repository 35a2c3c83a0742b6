//! `sync::Mutex`: exclusion, order, poison, and what becomes of it when its users are interrupted.

#![expect(
    clippy::disallowed_methods,
    reason = "tests compare with what std does"
)]

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::Duration;

use evy_runtime::sync::{Arc, Mutex, MutexGuard, TryLockError};
use evy_runtime::{sleep, spawn, spawn_n, test, thread, timeout, yield_now};
use evy_test_support::within;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// The lock, poisoned or not.
fn any<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parks so long in its destructor.
struct Slow(Duration);

impl Drop for Slow {
    fn drop(&mut self) {
        sleep(self.0);
    }
}

#[test]
fn one_at_a_time_also_across_parking() {
    within(|| {
        test::explore_schedules(0..100, || {
            let count = Arc::new(Mutex::new(0));
            let adders: Vec<_> = (0..8)
                .map(|n| {
                    let count = Arc::clone(&count);
                    spawn(move || {
                        for _ in 0..3 {
                            let mut count = count.lock().unwrap();
                            let seen = *count;
                            match n % 3 {
                                0 => yield_now(),
                                1 => sleep(SECOND),
                                _ => {}
                            }
                            *count = seen + 1;
                        }
                    })
                })
                .collect();
            adders.into_iter().for_each(|adder| adder.join().unwrap());
            assert_eq!(*count.lock().unwrap(), 24);
        });
    });
}

/// Each of so many, in the order of arrival, logs its number when it has the lock.
fn queue_up(mutex: &Arc<Mutex<Vec<usize>>>, number: usize) -> Vec<thread::JoinHandle<()>> {
    (0..number)
        .map(|n| {
            let mutex = Arc::clone(mutex);
            let waiter = spawn(move || any(&mutex).push(n));
            // Parked before the next one comes, whatever the order of those who are ready.
            test::wait_all_parked();
            waiter
        })
        .collect()
}

#[test]
fn first_come_first_served() {
    within(|| {
        test::explore_schedules(0..100, || {
            let mutex = Arc::new(Mutex::new(Vec::new()));
            let guard = mutex.lock().unwrap();
            let waiters = queue_up(&mutex, 5);
            drop(guard);
            waiters
                .into_iter()
                .for_each(|waiter| waiter.join().unwrap());
            assert_eq!(*mutex.lock().unwrap(), [0, 1, 2, 3, 4]);
        });
    });
}

/// One that takes the lock again and again before an invited waiter can run must neither invite
/// them all nor turn the order around.
#[test]
fn the_order_stays_however_often_the_lock_is_taken_meanwhile() {
    within(|| {
        test::explore_schedules(0..100, || {
            let mutex = Arc::new(Mutex::new(Vec::new()));
            let mut guard = mutex.lock().unwrap();
            let waiters = queue_up(&mutex, 5);
            for turn in 0..10 {
                drop(guard);
                guard = mutex.lock().unwrap();
                if turn % 4 == 3 {
                    // Whoever is invited finds it held.
                    sleep(SECOND);
                }
            }
            drop(guard);
            waiters
                .into_iter()
                .for_each(|waiter| waiter.join().unwrap());
            assert_eq!(*mutex.lock().unwrap(), [0, 1, 2, 3, 4]);
        });
    });
}

#[test]
fn a_waiter_is_passed_over_once_at_most() {
    within(|| {
        test::virtual_time(|| {
            let mutex = Arc::new(Mutex::new(0));
            let mut guard = mutex.lock().unwrap();
            let other = Arc::clone(&mutex);
            let waiter = spawn(move || *other.lock().unwrap());
            yield_now();
            for _ in 0..5 {
                drop(guard);
                guard = mutex.lock().unwrap();
                *guard += 1;
                yield_now();
            }
            drop(guard);
            assert_eq!(waiter.join().unwrap(), 1);
        });
    });
}

#[test]
fn a_lock_that_is_taken_often_in_one_turn_costs_no_switch() {
    within(|| {
        test::virtual_time(|| {
            let mutex = Arc::new(Mutex::new(0));
            let guard = mutex.lock().unwrap();
            let other = Arc::clone(&mutex);
            let waiter = spawn(move || *other.lock().unwrap());
            yield_now();
            drop(guard);
            (0..1000).for_each(|_| *mutex.lock().unwrap() += 1);
            assert_eq!(waiter.join().unwrap(), 1000);
        });
    });
}

#[test]
fn try_lock_never_waits() {
    within(|| {
        test::virtual_time(|| {
            let mutex = Arc::new(Mutex::new(0));
            let guard = mutex.try_lock().unwrap();
            assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
            let other = Arc::clone(&mutex);
            let waiter = spawn(move || *other.lock().unwrap());
            yield_now();
            drop(guard);
            // The waiter is on its way, but the lock is free.
            *mutex.try_lock().unwrap() = 5;
            assert_eq!(waiter.join().unwrap(), 5);
        });
    });
}

#[test]
fn a_lock_passes_by_the_dead() {
    within(|| {
        for killed_when in ["parked", "invited", "handed the lock"] {
            test::virtual_time(|| {
                let mutex = Arc::new(Mutex::new(Vec::new()));
                let guard = mutex.lock().unwrap();
                let mut waiters = queue_up(&mutex, 3);
                let first = waiters.remove(0);
                match killed_when {
                    "parked" => {
                        first.kill();
                        drop(guard);
                    }
                    "invited" => {
                        drop(guard);
                        first.kill();
                    }
                    _ => {
                        drop(guard);
                        let guard = mutex.lock().unwrap();
                        yield_now();
                        drop(guard);
                        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
                        first.kill();
                    }
                }
                assert!(first.join().unwrap_err().is_killed());
                waiters
                    .into_iter()
                    .for_each(|waiter| waiter.join().unwrap());
                assert_eq!(*mutex.lock().unwrap(), [1, 2], "killed when {killed_when}");
            });
        }
    });
}

#[test]
fn a_waiter_that_times_out_leaves() {
    within(|| {
        test::virtual_time(|| {
            let mutex = Mutex::new(());
            let guard = mutex.lock().unwrap();
            assert!(timeout(SECOND, || drop(mutex.lock())).is_err());
            drop(guard);
            assert!(timeout(SECOND, || drop(mutex.lock())).is_ok());
            assert!(!mutex.is_poisoned());
        });
    });
}

#[test]
fn who_unwinds_while_holding_it_poisons_it() {
    within(|| {
        for way in ["panic", "kill", "timeout"] {
            test::virtual_time(|| {
                let mutex = Arc::new(Mutex::new(1));
                let held = Arc::clone(&mutex);
                let holder = spawn(move || {
                    let mut guard = held.lock().unwrap();
                    *guard = 2;
                    match way {
                        "panic" => resume_unwind(Box::new("on purpose")),
                        "kill" => sleep(LONG),
                        _ => drop(timeout(SECOND, move || {
                            let _guard = guard;
                            sleep(LONG);
                        })),
                    }
                });
                yield_now();
                if way == "kill" {
                    holder.kill();
                }
                assert_eq!(holder.join().is_ok(), way == "timeout");
                assert!(mutex.is_poisoned(), "{way}");
                assert_eq!(**mutex.lock().unwrap_err().get_ref(), 2);
                assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
            });
        }
    });
}

#[test]
fn poison_is_told_of_and_cleared() {
    let poisoned = || {
        let mutex = Mutex::new(vec![1]);
        let outcome = catch_unwind(|| {
            let mut guard = mutex.lock().unwrap();
            guard.push(2);
            resume_unwind(Box::new("on purpose"));
        });
        assert!(outcome.is_err());
        mutex
    };
    let mutex = poisoned();
    assert_eq!(
        format!("{mutex:?}"),
        "Mutex { data: [1, 2], poisoned: true, .. }"
    );
    assert_eq!(mutex.into_inner().unwrap_err().into_inner(), [1, 2]);
    let mut mutex = poisoned();
    assert_eq!(mutex.get_mut().unwrap_err().into_inner().as_slice(), [1, 2]);
    mutex.clear_poison();
    assert!(!mutex.is_poisoned());
    assert_eq!(*mutex.lock().unwrap(), [1, 2]);
    assert_eq!(mutex.get_mut().unwrap().as_slice(), [1, 2]);
    assert_eq!(mutex.into_inner().unwrap(), [1, 2]);
}

/// std would poison here: its count of panics belongs to the OS thread.
#[test]
fn a_neighbour_that_parks_while_unwinding_poisons_nothing() {
    within(|| {
        test::virtual_time(|| {
            let (before, during) = (Mutex::new(()), Mutex::new(()));
            let held_before = before.lock().unwrap();
            let neighbour = spawn(|| {
                let _slow = Slow(LONG);
                resume_unwind(Box::new("on purpose"));
            });
            yield_now();
            assert!(std::thread::panicking(), "the neighbour unwinds");
            // Held from before, and let go meanwhile; taken and let go meanwhile.
            drop(held_before);
            drop(during.lock());
            // Taken meanwhile, and let go afterwards.
            let held_after = during.lock().unwrap();
            assert!(neighbour.join().is_err());
            drop(held_after);
            assert!(!before.is_poisoned() && !during.is_poisoned());
        });
    });
}

#[test]
fn who_panics_beside_an_unwinding_neighbour_poisons_its_own() {
    within(|| {
        test::virtual_time(|| {
            let (mine, others) = (Arc::new(Mutex::new(())), Mutex::new(()));
            let held = others.lock().unwrap();
            let neighbour = spawn(|| {
                let _slow = Slow(LONG);
                resume_unwind(Box::new("on purpose"));
            });
            yield_now();
            let own = Arc::clone(&mine);
            let panics = spawn(move || {
                let _held = own.lock().unwrap();
                // The guard is dropped after this one, which has let others run.
                let _slow = Slow(SECOND);
                panic!("on purpose, and printed");
            });
            assert!(panics.join().is_err());
            assert!(mine.is_poisoned());
            drop(held);
            assert!(!others.is_poisoned());
            assert!(neighbour.join().is_err());
        });
    });
}

/// What a destructor locks while its green thread unwinds is in order when it lets go.
#[test]
fn a_destructor_that_locks_while_unwinding_poisons_nothing() {
    struct Goodbye(Arc<Mutex<u32>>, fn());
    impl Drop for Goodbye {
        fn drop(&mut self) {
            let mut count = self.0.lock().unwrap();
            (self.1)();
            *count += 1;
        }
    }
    within(|| {
        for park in [|| {}, || sleep(SECOND), yield_now] {
            test::virtual_time(|| {
                let mutex = Arc::new(Mutex::new(0));
                let victims = ["panic", "kill", "timeout"].map(|way| {
                    let goodbye = Goodbye(Arc::clone(&mutex), park);
                    spawn(move || {
                        let _goodbye = goodbye;
                        match way {
                            "panic" => resume_unwind(Box::new("on purpose")),
                            "kill" => sleep(LONG),
                            _ => timeout(SECOND, || sleep(LONG)).unwrap(),
                        }
                    })
                });
                yield_now();
                victims[1].kill();
                for victim in victims {
                    assert!(victim.join().is_err());
                }
                assert_eq!(*mutex.lock().unwrap(), 3);
            });
        }
    });
}

#[test]
fn os_threads_that_never_used_evy_exclude_each_other() {
    within(|| {
        let mutex = Arc::new(Mutex::new(0u64));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                std::thread::spawn(move || {
                    for _ in 0..2000 {
                        let mut count = mutex.lock().unwrap();
                        let seen = *count;
                        std::hint::spin_loop();
                        *count = seen + 1;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*mutex.lock().unwrap(), 8000);
    });
}

/// The one that is parked is a green thread, an OS thread, and the root of one that has green ones.
#[test]
fn a_lock_crosses_os_threads_both_ways() {
    within(|| {
        let mutex = Arc::new(Mutex::new(Vec::new()));
        for (from, to) in [(0, 1), (1, 0), (0, 0), (1, 1), (0, 2), (2, 1)] {
            let run = |kind: i32, body: Box<dyn FnOnce() + Send>| {
                std::thread::spawn(move || match kind {
                    0 => body(),
                    1 => spawn(body).join().unwrap(),
                    _ => {
                        spawn_n(yield_now);
                        yield_now();
                        body();
                    }
                })
            };
            let (tell, told) = std::sync::mpsc::channel();
            let (first, second) = (Arc::clone(&mutex), Arc::clone(&mutex));
            let holder = run(
                from,
                Box::new(move || {
                    let mut guard = first.lock().unwrap();
                    tell.send(()).unwrap();
                    sleep(Duration::from_millis(5));
                    guard.push(from);
                }),
            );
            told.recv().unwrap();
            let waiter = run(to, Box::new(move || second.lock().unwrap().push(to)));
            holder.join().unwrap();
            waiter.join().unwrap();
            assert_eq!(std::mem::take(&mut *mutex.lock().unwrap()), [from, to]);
        }
    });
}

#[test]
fn struck_anywhere_a_mutex_goes_on_and_is_poisoned_by_a_holder_only() {
    within(|| {
        let struck = test::inject_faults(|injector| {
            let mutex = Arc::new(Mutex::new(0));
            let add = |mutex: &Mutex<i32>| {
                let mut count = any(mutex);
                let seen = *count;
                yield_now();
                *count = seen + 1;
            };
            let holds = Rc::new(Cell::new(false));
            let (own, flag) = (Arc::clone(&mutex), Rc::clone(&holds));
            let neighbour = || {
                let mutex = Arc::clone(&mutex);
                spawn(move || (0..3).for_each(|_| add(&mutex)))
            };
            let before = neighbour();
            let victim = injector.spawn(move || {
                for _ in 0..3 {
                    let mut count = own.lock().unwrap();
                    flag.set(true);
                    let seen = *count;
                    sleep(SECOND);
                    *count = seen + 1;
                    flag.set(false);
                    drop(count);
                    yield_now();
                }
            });
            let after = neighbour();
            victim.join().ok();
            before.join().unwrap();
            after.join().unwrap();
            assert_eq!(mutex.is_poisoned(), holds.get());
            let total = *any(&mutex);
            assert!((6..=9).contains(&total), "{total}");
            // Nobody is left in the queue that the lock could be given to.
            let guard = any(&mutex);
            let last = [neighbour(), neighbour()];
            test::wait_all_parked();
            drop(guard);
            last.into_iter().for_each(|last| last.join().unwrap());
            assert_eq!(*any(&mutex), total + 6);
        });
        assert!(struck >= 20, "{struck}");
    });
}

/// The same for one that is interrupted in the crowd, whose place may be anywhere.
#[test]
fn struck_in_a_crowd_a_waiter_costs_nobody_the_lock() {
    within(|| {
        for place in 0..4 {
            let struck = test::inject_faults(|injector| {
                let mutex = Arc::new(Mutex::new(Vec::new()));
                let guard = any(&mutex);
                let mut others = queue_up(&mutex, place);
                let own = Arc::clone(&mutex);
                let victim = injector.spawn(move || own.lock().unwrap().push(100));
                test::wait_all_parked();
                others.extend(queue_up(&mutex, 4 - place));
                drop(guard);
                // Passed over once, so that some are invited and some are handed the lock.
                let guard = any(&mutex);
                sleep(2 * SECOND);
                drop(guard);
                victim.join().ok();
                others.into_iter().for_each(|other| other.join().unwrap());
                assert!(!mutex.is_poisoned());
                let mut order = any(&mutex).clone();
                order.retain(|n| *n != 100);
                let expected = (0..place).chain(0..4 - place);
                assert!(order.into_iter().eq(expected));
            });
            assert!(struck >= 4, "{struck}");
        }
    });
}

#[test]
fn a_guard_shows_its_data() {
    fn shown(value: impl Display) -> String {
        value.to_string()
    }
    let mutex = Mutex::new(7);
    assert_eq!(shown(mutex.lock().unwrap()), "7");
    assert_eq!(format!("{:?}", mutex.lock().unwrap()), "7");
    assert_eq!(
        format!("{mutex:?}"),
        "Mutex { data: 7, poisoned: false, .. }"
    );
    let _held = mutex.lock().unwrap();
    assert_eq!(
        format!("{mutex:?}"),
        "Mutex { data: <locked>, poisoned: false, .. }"
    );
}

/// A panic of the program's own code while the lock is handed on must not leave it half done.
#[test]
fn a_panic_while_the_guard_is_dropped_elsewhere_frees_the_lock() {
    within(|| {
        test::virtual_time(|| {
            let mutex = Arc::new(Mutex::new(0));
            let own = Arc::clone(&mutex);
            let caught = catch_unwind(AssertUnwindSafe(move || {
                let _guard = own.lock().unwrap();
                let waiting = Arc::clone(&own);
                spawn_n(move || *any(&waiting) = 1);
                yield_now();
                resume_unwind(Box::new("on purpose"));
            }));
            assert!(caught.is_err());
            test::wait_all_parked();
            assert_eq!(*any(&mutex), 1);
        });
    });
}
