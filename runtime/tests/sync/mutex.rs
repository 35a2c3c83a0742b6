//! Tests of `sync::Mutex`: exclusion, order, poisoning, and the mutex after holders and waiters are
//! interrupted.

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
use evy_test_support::{shares_thread_locals, within};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Locks `mutex`, whether it is poisoned or not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps in its destructor, for the given time.
struct SleepsOnDrop(Duration);

impl Drop for SleepsOnDrop {
    fn drop(&mut self) {
        sleep(self.0);
    }
}

#[test]
fn a_mutex_has_one_holder_at_a_time_even_if_the_holder_parks() {
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

/// Spawns `number` green threads that queue in the order of their numbers. Each logs its number
/// when it holds the lock.
fn queue_up(mutex: &Arc<Mutex<Vec<usize>>>, number: usize) -> Vec<thread::JoinHandle<()>> {
    (0..number)
        .map(|n| {
            let mutex = Arc::clone(mutex);
            let waiter = spawn(move || lock(&mutex).push(n));
            // This one has queued before the next one is spawned, whatever the order in which ready
            // green threads run.
            test::wait_all_parked();
            waiter
        })
        .collect()
}

#[test]
fn waiters_are_served_in_fifo_order() {
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

/// A green thread that takes the lock repeatedly before a woken waiter can run must neither wake
/// all waiters nor reverse their order.
#[test]
fn waiters_keep_their_order_however_often_the_lock_is_retaken() {
    within(|| {
        test::explore_schedules(0..100, || {
            let mutex = Arc::new(Mutex::new(Vec::new()));
            let mut guard = mutex.lock().unwrap();
            let waiters = queue_up(&mutex, 5);
            for turn in 0..10 {
                drop(guard);
                guard = mutex.lock().unwrap();
                if turn % 4 == 3 {
                    // The woken waiter finds the lock held.
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
fn a_waiter_is_overtaken_at_most_once() {
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
fn a_green_thread_can_retake_the_lock_without_a_switch_until_its_budget_is_spent() {
    within(|| {
        test::virtual_time(|| {
            let mutex = Arc::new(Mutex::new(0));
            let guard = mutex.lock().unwrap();
            let other = Arc::clone(&mutex);
            let waiter = spawn(move || *other.lock().unwrap());
            yield_now();
            drop(guard);
            (0..1000).for_each(|_| *mutex.lock().unwrap() += 1);
            let seen = waiter.join().unwrap();
            assert!((60..=128).contains(&seen), "{seen}");
        });
    });
}

#[test]
fn try_lock_does_not_park() {
    within(|| {
        test::virtual_time(|| {
            let mutex = Arc::new(Mutex::new(0));
            let guard = mutex.try_lock().unwrap();
            assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
            let other = Arc::clone(&mutex);
            let waiter = spawn(move || *other.lock().unwrap());
            yield_now();
            drop(guard);
            // The waiter has been woken, but the lock is free.
            *mutex.try_lock().unwrap() = 5;
            assert_eq!(waiter.join().unwrap(), 5);
        });
    });
}

#[test]
fn the_lock_goes_past_a_killed_waiter_to_the_next() {
    within(|| {
        for killed_when in ["parked", "woken", "handed the lock"] {
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
                    "woken" => {
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
fn a_waiter_that_times_out_leaves_the_queue() {
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
fn a_holder_that_unwinds_poisons_the_mutex() {
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
fn poison_is_reported_until_it_is_cleared() {
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

/// std would poison these mutexes, because it counts panics per OS thread.
#[test]
fn a_green_thread_that_parks_while_unwinding_poisons_no_mutex_of_another() {
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        test::virtual_time(|| {
            let (before, during) = (Mutex::new(()), Mutex::new(()));
            let held_before = before.lock().unwrap();
            let unwinding = spawn(|| {
                let _sleeps_on_drop = SleepsOnDrop(LONG);
                resume_unwind(Box::new("on purpose"));
            });
            yield_now();
            assert!(
                std::thread::panicking(),
                "the other green thread is unwinding"
            );
            // One lock was acquired before and is released during the unwinding. The other one is
            // acquired and released during it.
            drop(held_before);
            drop(during.lock());
            // This one is acquired during the unwinding and released after it.
            let held_after = during.lock().unwrap();
            assert!(unwinding.join().is_err());
            drop(held_after);
            assert!(!before.is_poisoned() && !during.is_poisoned());
        });
    });
}

#[test]
fn a_panic_beside_an_unwinding_green_thread_poisons_only_its_own_mutex() {
    within(|| {
        test::virtual_time(|| {
            let (mine, others) = (Arc::new(Mutex::new(())), Mutex::new(()));
            let held = others.lock().unwrap();
            let unwinding = spawn(|| {
                let _sleeps_on_drop = SleepsOnDrop(LONG);
                resume_unwind(Box::new("on purpose"));
            });
            yield_now();
            let own = Arc::clone(&mine);
            let panics = spawn(move || {
                let _held = own.lock().unwrap();
                // Dropped before the guard. It parks, so other green threads run in between.
                let _sleeps_on_drop = SleepsOnDrop(SECOND);
                panic!("on purpose, and printed");
            });
            assert!(panics.join().is_err());
            assert!(mine.is_poisoned());
            drop(held);
            assert!(!others.is_poisoned());
            assert!(unwinding.join().is_err());
        });
    });
}

/// When a destructor releases a lock that it has acquired during unwinding, the data is consistent.
#[test]
fn a_destructor_that_locks_during_unwinding_does_not_poison() {
    struct LocksOnDrop(Arc<Mutex<u32>>, fn());
    impl Drop for LocksOnDrop {
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
                    let locks = LocksOnDrop(Arc::clone(&mutex), park);
                    spawn(move || {
                        let _goodbye = locks;
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
fn os_threads_without_green_threads_exclude_each_other() {
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

/// Holder and waiter are an OS thread without green threads (0), a green thread (1), or the root
/// green thread of an OS thread that has others (2).
#[test]
fn a_mutex_works_across_os_threads_with_and_without_green_threads() {
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
            let (notifier, acquired) = std::sync::mpsc::channel();
            let (first, second) = (Arc::clone(&mutex), Arc::clone(&mutex));
            let holder = run(
                from,
                Box::new(move || {
                    let mut guard = first.lock().unwrap();
                    notifier.send(()).unwrap();
                    sleep(Duration::from_millis(5));
                    guard.push(from);
                }),
            );
            acquired.recv().unwrap();
            let waiter = run(to, Box::new(move || second.lock().unwrap().push(to)));
            holder.join().unwrap();
            waiter.join().unwrap();
            assert_eq!(std::mem::take(&mut *mutex.lock().unwrap()), [from, to]);
        }
    });
}

#[test]
fn a_fault_leaves_the_mutex_usable_and_poisons_it_only_in_its_holder() {
    within(|| {
        let faults = test::inject_faults(|injector| {
            let mutex = Arc::new(Mutex::new(0));
            let add = |mutex: &Mutex<i32>| {
                let mut count = lock(mutex);
                let seen = *count;
                yield_now();
                *count = seen + 1;
            };
            let is_held = Rc::new(Cell::new(false));
            let (own, flag) = (Arc::clone(&mutex), Rc::clone(&is_held));
            let spawn_adder = || {
                let mutex = Arc::clone(&mutex);
                spawn(move || (0..3).for_each(|_| add(&mutex)))
            };
            let before = spawn_adder();
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
            let after = spawn_adder();
            victim.join().ok();
            before.join().unwrap();
            after.join().unwrap();
            assert_eq!(mutex.is_poisoned(), is_held.get());
            let total = *lock(&mutex);
            assert!((6..=9).contains(&total), "{total}");
            // No stale waiter is left in the queue to which the lock could be handed.
            let guard = lock(&mutex);
            let last = [spawn_adder(), spawn_adder()];
            test::wait_all_parked();
            drop(guard);
            last.into_iter().for_each(|last| last.join().unwrap());
            assert_eq!(*lock(&mutex), total + 6);
        });
        assert!(faults >= 20, "{faults}");
    });
}

/// Like the test before, but the victim waits among others, at each position in the queue.
#[test]
fn a_fault_in_a_waiter_does_not_keep_the_lock_from_other_waiters() {
    within(|| {
        for position in 0..4 {
            let faults = test::inject_faults(|injector| {
                let mutex = Arc::new(Mutex::new(Vec::new()));
                let guard = lock(&mutex);
                let mut others = queue_up(&mutex, position);
                let own = Arc::clone(&mutex);
                let victim = injector.spawn(move || own.lock().unwrap().push(100));
                test::wait_all_parked();
                others.extend(queue_up(&mutex, 4 - position));
                drop(guard);
                // The waiters are overtaken once, so some are woken and some are handed the lock.
                let guard = lock(&mutex);
                sleep(2 * SECOND);
                drop(guard);
                victim.join().ok();
                others.into_iter().for_each(|other| other.join().unwrap());
                assert!(!mutex.is_poisoned());
                let mut order = lock(&mutex).clone();
                order.retain(|n| *n != 100);
                let expected = (0..position).chain(0..4 - position);
                assert!(order.into_iter().eq(expected));
            });
            assert!(faults >= 4, "{faults}");
        }
    });
}

#[test]
fn a_guard_formats_like_its_data() {
    fn display_string(value: impl Display) -> String {
        value.to_string()
    }
    let mutex = Mutex::new(7);
    assert_eq!(display_string(mutex.lock().unwrap()), "7");
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

/// A panic of the program's own code must not leave a handoff of the lock unfinished.
#[test]
fn a_holder_that_panics_hands_the_lock_to_its_waiter() {
    within(|| {
        test::virtual_time(|| {
            let mutex = Arc::new(Mutex::new(0));
            let own = Arc::clone(&mutex);
            let caught = catch_unwind(AssertUnwindSafe(move || {
                let _guard = own.lock().unwrap();
                let waiting = Arc::clone(&own);
                spawn_n(move || *lock(&waiting) = 1);
                yield_now();
                resume_unwind(Box::new("on purpose"));
            }));
            assert!(caught.is_err());
            test::wait_all_parked();
            assert_eq!(*lock(&mutex), 1);
        });
    });
}
