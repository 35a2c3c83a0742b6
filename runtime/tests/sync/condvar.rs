//! Tests of `sync::Condvar` and `sync::Barrier`: which waiters are woken and when, and what happens
//! to a notification if its receiver is interrupted.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::Duration;

use evy_runtime::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, RwLock};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{lowlevel, sleep, spawn, spawn_n, test, timeout, yield_now};
use evy_test_support::within;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// A flag, and the condition variable to wait for it.
#[derive(Default)]
struct Flag {
    value: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    /// Locks the mutex, whether it is poisoned or not.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }
}

/// Spawns `number` green threads that wait once, and that queue in the order of their numbers. Each
/// logs its number when its wait has ended.
fn queue_up(flag: &Arc<Flag>, log: &Rc<RefCell<Vec<usize>>>, number: usize) -> Vec<JoinHandle<()>> {
    (0..number)
        .map(|n| {
            let (flag, log) = (Arc::clone(flag), Rc::clone(log));
            let waiter = spawn(move || {
                let guard = flag.lock();
                drop(flag.changed.wait(guard));
                log.borrow_mut().push(n);
            });
            test::wait_all_parked();
            waiter
        })
        .collect()
}

#[test]
fn notify_one_wakes_the_longest_waiter() {
    within(|| {
        test::explore_schedules(0..100, || {
            let (flag, log) = (Arc::default(), Rc::default());
            let waiters = queue_up(&flag, &log, 4);
            for woken in 1..=4 {
                flag.changed.notify_one();
                test::wait_all_parked();
                assert_eq!(log.borrow().len(), woken);
            }
            waiters.into_iter().for_each(|one| one.join().unwrap());
            assert_eq!(*log.borrow(), [0, 1, 2, 3]);
            // Without a waiter, a notification has no effect, now or later.
            flag.changed.notify_one();
            flag.changed.notify_all();
            let late = queue_up(&flag, &log, 1);
            assert!(!late[0].is_finished());
        });
    });
}

#[test]
fn notify_all_wakes_only_the_current_waiters() {
    within(|| {
        test::explore_schedules(0..100, || {
            let (flag, log) = (Arc::default(), Rc::default());
            let waiters = queue_up(&flag, &log, 4);
            flag.changed.notify_all();
            let late = queue_up(&flag, &log, 1);
            waiters.into_iter().for_each(|one| one.join().unwrap());
            log.borrow_mut().sort_unstable();
            assert_eq!(*log.borrow(), [0, 1, 2, 3]);
            assert!(!late[0].is_finished());
        });
    });
}

/// The mutex is unlocked during a wait, and there is no moment at which a notification is lost.
#[test]
fn a_wait_releases_the_mutex_and_misses_no_notification() {
    within(|| {
        test::explore_schedules(0..100, || {
            let flag = Arc::new(Flag::default());
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    let flag = Arc::clone(&flag);
                    spawn(move || {
                        let guard = flag.lock();
                        yield_now();
                        let is_set = flag.changed.wait_while(guard, |is_set| !*is_set).unwrap();
                        assert!(*is_set);
                        yield_now();
                        assert!(*is_set, "the waiter holds the lock again");
                    })
                })
                .collect();
            let setter = Arc::clone(&flag);
            spawn_n(move || setter.set());
            waiters.into_iter().for_each(|one| one.join().unwrap());
        });
    });
}

#[test]
fn an_unpark_does_not_end_a_wait() {
    within(|| {
        test::virtual_time(|| {
            let (flag, log) = (Arc::default(), Rc::default());
            let waiters = queue_up(&flag, &log, 2);
            waiters[0].thread().unpark();
            waiters[1].thread().unparker().unpark();
            sleep(SECOND);
            assert!(log.borrow().is_empty());
            flag.changed.notify_all();
            waiters.into_iter().for_each(|one| one.join().unwrap());
        });
    });
}

#[test]
fn wait_timeout_ends_at_its_deadline() {
    within(|| {
        test::virtual_time(|| {
            let flag = Flag::default();
            let start = lowlevel::now();
            let elapsed = || (lowlevel::now() - start).as_secs();
            let (guard, result) = flag.changed.wait_timeout(flag.lock(), SECOND).unwrap();
            assert!(result.timed_out() && elapsed() == 1);
            let (guard, result) = flag.changed.wait_timeout(guard, Duration::ZERO).unwrap();
            assert!(result.timed_out() && elapsed() == 1);
            let mut calls = 0;
            let (guard, result) = flag
                .changed
                .wait_timeout_while(guard, 2 * SECOND, |is_set| {
                    calls += 1;
                    !*is_set
                })
                .unwrap();
            assert!(result.timed_out() && elapsed() == 3 && calls == 2);
            let (_guard, result) = flag
                .changed
                .wait_timeout_while(guard, Duration::ZERO, |_| false)
                .unwrap();
            assert!(!result.timed_out());
        });
    });
}

#[test]
fn a_wait_that_is_notified_in_time_does_not_time_out() {
    within(|| {
        test::virtual_time(|| {
            let flag = Arc::new(Flag::default());
            let setter = Arc::clone(&flag);
            spawn_n(move || {
                sleep(SECOND);
                setter.changed.notify_all();
                sleep(SECOND);
                setter.set();
            });
            let start = lowlevel::now();
            let waited = flag
                .changed
                .wait_timeout_while(flag.lock(), LONG, |is_set| !*is_set);
            let (guard, result) = waited.unwrap();
            assert!(*guard && !result.timed_out());
            assert_eq!(lowlevel::now() - start, 2 * SECOND);
            drop(guard);
            // A deadline that the clock cannot represent never passes.
            let setter = Arc::clone(&flag);
            spawn_n(move || {
                sleep(SECOND);
                setter.changed.notify_one();
            });
            let waited = flag.changed.wait_timeout(flag.lock(), Duration::MAX);
            assert!(!waited.unwrap().1.timed_out());
        });
    });
}

/// A waiter that has timed out is no longer in the queue.
#[test]
fn a_notification_skips_a_waiter_that_has_timed_out() {
    within(|| {
        test::virtual_time(|| {
            let (flag, log) = (Arc::<Flag>::default(), Rc::default());
            let own = Arc::clone(&flag);
            let first = spawn(move || {
                let waited = own.changed.wait_timeout(own.lock(), SECOND);
                waited.unwrap().1.timed_out()
            });
            test::wait_all_parked();
            let second = queue_up(&flag, &log, 1).remove(0);
            sleep(2 * SECOND);
            flag.changed.notify_one();
            assert!(first.join().unwrap());
            second.join().unwrap();
        });
    });
}

#[test]
fn the_notification_of_a_killed_waiter_goes_to_the_next() {
    within(|| {
        for killed_when in ["notified", "waiting for the mutex"] {
            test::virtual_time(|| {
                let (flag, log) = (Arc::<Flag>::default(), Rc::default());
                let mut waiters = queue_up(&flag, &log, 3);
                let guard = flag.lock();
                flag.changed.notify_one();
                if killed_when == "waiting for the mutex" {
                    test::wait_all_parked();
                }
                waiters.remove(0).kill();
                drop(guard);
                test::wait_all_parked();
                assert_eq!(*log.borrow(), [1], "{killed_when}");
                assert!(!flag.value.is_poisoned());
            });
        }
    });
}

#[test]
fn a_waiter_that_unwinds_does_not_hold_the_mutex() {
    within(|| {
        test::virtual_time(|| {
            let (flag, log) = (Arc::<Flag>::default(), Rc::default());
            let mut waiters = queue_up(&flag, &log, 2);
            waiters.remove(0).kill();
            assert!(timeout(SECOND, || drop(flag.changed.wait(flag.lock()))).is_err());
            assert!(flag.value.try_lock().is_ok());
            flag.changed.notify_one();
            waiters.remove(0).join().unwrap();
        });
    });
}

#[test]
fn every_kind_of_wait_returns_the_poison_with_the_guard() {
    within(|| {
        test::virtual_time(|| {
            let flag = Arc::new(Flag::default());
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let condition = |_: &mut bool| resume_unwind(Box::new("on purpose"));
                drop(flag.changed.wait_while(flag.lock(), condition));
            }));
            assert!(caught.is_err() && flag.value.is_poisoned());
            let waited = flag.changed.wait_timeout(flag.lock(), SECOND);
            let (guard, result) = waited.unwrap_err().into_inner();
            assert!(!*guard && result.timed_out());
            let waited = flag.changed.wait_timeout_while(guard, SECOND, |_| true);
            let (guard, result) = waited.unwrap_err().into_inner();
            assert!(result.timed_out());
            let other = Arc::clone(&flag);
            spawn_n(move || other.changed.notify_all());
            let guard = flag.changed.wait(guard).unwrap_err().into_inner();
            drop(guard);
            flag.value.clear_poison();
            assert!(flag.value.lock().is_ok());
        });
    });
}

#[test]
fn a_condition_variable_works_across_os_threads() {
    within(|| {
        let flag = Arc::new(Flag::default());
        let turns = Arc::new(RwLock::new(Vec::new()));
        let turn = Arc::new((Mutex::new(0), Condvar::new()));
        let threads: Vec<_> = (0..6)
            .map(|n| {
                let (flag, turns, turn) =
                    (Arc::clone(&flag), Arc::clone(&turns), Arc::clone(&turn));
                let body = move || {
                    drop(flag.changed.wait_while(flag.lock(), |is_set| !*is_set));
                    let mine = turn.1.wait_while(turn.0.lock().unwrap(), |now| *now < n);
                    turns.write().unwrap().push(n);
                    *mine.unwrap() += 1;
                    turn.1.notify_all();
                };
                // Half of the OS threads run a green thread. The others do not use evy otherwise.
                std::thread::spawn(move || match n % 2 {
                    0 => spawn(body).join().unwrap(),
                    _ => body(),
                })
            })
            .collect();
        flag.set();
        threads.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(*turns.read().unwrap(), [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_wait_of_an_os_thread_without_green_threads_times_out() {
    within(|| {
        let flag = Flag::default();
        let short = Duration::from_millis(5);
        let waited = flag.changed.wait_timeout(flag.lock(), short);
        let (guard, result) = waited.unwrap();
        assert!(result.timed_out());
        let waited = flag
            .changed
            .wait_timeout_while(guard, short, |is_set| !*is_set);
        assert!(waited.unwrap().1.timed_out());
    });
}

/// A bounded buffer on two condition variables, which wake one waiter at a time. If a single
/// notification is lost, a waiter waits forever.
#[derive(Default)]
struct Buffer {
    items: Mutex<VecDeque<u32>>,
    filled: Condvar,
    emptied: Condvar,
}

impl Buffer {
    fn put(&self, item: u32) {
        let items = self.items.lock().unwrap();
        let mut items = self
            .emptied
            .wait_while(items, |items| items.len() == 2)
            .unwrap();
        items.push_back(item);
        self.filled.notify_one();
    }

    fn get(&self) -> u32 {
        let items = self.items.lock().unwrap();
        let mut items = self
            .filled
            .wait_while(items, |items| items.is_empty())
            .unwrap();
        self.emptied.notify_one();
        items.pop_front().unwrap()
    }
}

#[test]
fn a_bounded_buffer_on_condition_variables_loses_no_item() {
    within(|| {
        test::explore_schedules(0..100, || {
            let buffer = Arc::new(Buffer::default());
            let putters: Vec<_> = (0..3)
                .map(|n| {
                    let buffer = Arc::clone(&buffer);
                    spawn(move || (0..10).for_each(|i| buffer.put(n * 10 + i)))
                })
                .collect();
            let getters: Vec<_> = (0..3)
                .map(|_| {
                    let buffer = Arc::clone(&buffer);
                    spawn(move || (0..10).map(|_| buffer.get()).collect::<Vec<_>>())
                })
                .collect();
            putters.into_iter().for_each(|one| one.join().unwrap());
            let mut all: Vec<_> = getters
                .into_iter()
                .flat_map(|getter| getter.join().unwrap())
                .collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..30));
        });
    });
}

#[test]
fn a_fault_in_a_user_of_a_bounded_buffer_loses_no_notification() {
    within(|| {
        for role in ["puts", "gets"] {
            let faults = test::inject_faults(|injector| {
                let buffer = Arc::new(Buffer::default());
                let done = Rc::new(Cell::new(0));
                let spawn_worker = |puts: bool, times: u32| {
                    let buffer = Arc::clone(&buffer);
                    spawn(move || {
                        for _ in 0..times {
                            match puts {
                                true => buffer.put(1),
                                false => drop(buffer.get()),
                            }
                        }
                    })
                };
                let puts = role == "puts";
                let before = spawn_worker(puts, 2);
                test::wait_all_parked();
                let (own, did) = (Arc::clone(&buffer), Rc::clone(&done));
                let victim = injector.spawn(move || {
                    for _ in 0..3 {
                        match puts {
                            true => own.put(1),
                            false => drop(own.get()),
                        }
                        did.set(did.get() + 1);
                    }
                });
                test::wait_all_parked();
                let after = spawn_worker(puts, 2);
                test::wait_all_parked();
                // The other side does as many operations as `before` and `after`, and completes.
                let others = spawn_worker(!puts, 4);
                test::wait_all_parked();
                let rest = spawn_worker(!puts, 3);
                victim.join().ok();
                test::wait_all_parked();
                // Does the operations that the victim has not done.
                let help = spawn_worker(puts, 3 - done.get());
                for one in [before, after, others, rest, help] {
                    one.join().unwrap();
                }
                assert!(buffer.items.lock().unwrap().is_empty());
            });
            assert!(faults >= 4, "{role}: {faults}");
        }
    });
}

#[test]
fn a_barrier_releases_all_waiters_together_in_every_round() {
    within(|| {
        test::explore_schedules(0..100, || {
            let barrier = Arc::new(Barrier::new(4));
            let round = Rc::new(Cell::new(0));
            let all: Vec<_> = (0..4)
                .map(|n| {
                    let (barrier, round) = (Arc::clone(&barrier), Rc::clone(&round));
                    spawn(move || {
                        let mut led = 0;
                        for turn in 0..10 {
                            assert_eq!(round.get(), turn);
                            if n % 2 == 0 {
                                yield_now();
                            }
                            // None continues before all have come, so all have seen the old round.
                            if barrier.wait().is_leader() {
                                led += 1;
                                round.set(turn + 1);
                            }
                            barrier.wait();
                        }
                        led
                    })
                })
                .collect();
            let led: u32 = all.into_iter().map(|one| one.join().unwrap()).sum();
            assert_eq!(led, 10, "one leader in each round");
        });
    });
}

#[test]
fn a_barrier_for_zero_or_one_does_not_park() {
    for number in [0, 1] {
        let barrier = Barrier::new(number);
        assert!(barrier.wait().is_leader() && barrier.wait().is_leader());
    }
}

#[test]
fn a_barrier_does_not_count_a_waiter_that_gives_up() {
    within(|| {
        test::virtual_time(|| {
            let barrier = Arc::new(Barrier::new(3));
            let spawn_waiter = || {
                let barrier = Arc::clone(&barrier);
                let waiter = spawn(move || barrier.wait().is_leader());
                test::wait_all_parked();
                waiter
            };
            spawn_waiter().kill();
            assert!(timeout(SECOND, || barrier.wait()).is_err());
            let (first, second) = (spawn_waiter(), spawn_waiter());
            assert!(!first.is_finished() && !second.is_finished());
            assert!(barrier.wait().is_leader());
            assert!(!first.join().unwrap() && !second.join().unwrap());
        });
    });
}

#[test]
fn a_fault_in_a_waiter_leaves_a_barrier_with_the_right_count() {
    within(|| {
        let faults = test::inject_faults(|injector| {
            let barrier = Arc::new(Barrier::new(3));
            let spawn_waiter = || {
                let barrier = Arc::clone(&barrier);
                let waiter = spawn(move || barrier.wait().is_leader());
                test::wait_all_parked();
                waiter
            };
            let first = spawn_waiter();
            let own = Arc::clone(&barrier);
            let passed = Rc::new(Cell::new(false));
            let seen = Rc::clone(&passed);
            let victim = injector.spawn(move || {
                own.wait();
                seen.set(true);
                // A second round, in which the others do not take part.
                own.wait();
            });
            test::wait_all_parked();
            let second = spawn_waiter();
            victim.kill();
            victim.join().ok();
            if !second.is_finished() {
                assert!(!passed.get());
                assert!(barrier.wait().is_leader());
            }
            first.join().unwrap();
            second.join().unwrap();
            // A waiter that has left is not counted.
            let round = [spawn_waiter(), spawn_waiter()];
            assert!(round.iter().all(|one| !one.is_finished()));
            assert!(barrier.wait().is_leader());
            round
                .into_iter()
                .for_each(|one| assert!(!one.join().unwrap()));
        });
        assert!(faults >= 4, "{faults}");
    });
}

#[test]
fn a_barrier_works_across_os_threads_with_and_without_green_threads() {
    within(|| {
        let barrier = Arc::new(Barrier::new(6));
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let barrier = Arc::clone(&barrier);
                std::thread::spawn(move || {
                    let go = move || (0..100).filter(|_| barrier.wait().is_leader()).count();
                    if n < 2 {
                        return go();
                    }
                    let go = Rc::new(go);
                    let both = [Rc::clone(&go), go].map(|go| spawn(move || go()));
                    both.map(|one| one.join().unwrap()).into_iter().sum()
                })
            })
            .collect();
        let led: usize = threads.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(led, 100);
    });
}
