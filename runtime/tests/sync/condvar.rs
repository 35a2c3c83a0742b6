//! `sync::Condvar` and `sync::Barrier`: who is woken, when, and what becomes of a wake-up whose
//! receiver is interrupted.

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

/// A door: a condition, and who waits for it.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Door {
    /// The lock, poisoned or not.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) {
        *self.lock() = true;
        self.opened.notify_all();
    }
}

/// Each of so many waits once, in the order of arrival, and logs its number when it is through.
fn queue_up(door: &Arc<Door>, log: &Rc<RefCell<Vec<usize>>>, number: usize) -> Vec<JoinHandle<()>> {
    (0..number)
        .map(|n| {
            let (door, log) = (Arc::clone(door), Rc::clone(log));
            let waiter = spawn(move || {
                let guard = door.lock();
                drop(door.opened.wait(guard));
                log.borrow_mut().push(n);
            });
            test::wait_all_parked();
            waiter
        })
        .collect()
}

#[test]
fn notify_one_wakes_the_one_that_has_waited_longest() {
    within(|| {
        test::explore_schedules(0..100, || {
            let (door, log) = (Arc::default(), Rc::default());
            let waiters = queue_up(&door, &log, 4);
            for woken in 1..=4 {
                door.opened.notify_one();
                test::wait_all_parked();
                assert_eq!(log.borrow().len(), woken);
            }
            waiters.into_iter().for_each(|one| one.join().unwrap());
            assert_eq!(*log.borrow(), [0, 1, 2, 3]);
            // With nobody there it is of no effect, also later.
            door.opened.notify_one();
            door.opened.notify_all();
            let late = queue_up(&door, &log, 1);
            assert!(!late[0].is_finished());
        });
    });
}

#[test]
fn notify_all_wakes_those_who_wait_now() {
    within(|| {
        test::explore_schedules(0..100, || {
            let (door, log) = (Arc::default(), Rc::default());
            let waiters = queue_up(&door, &log, 4);
            door.opened.notify_all();
            let late = queue_up(&door, &log, 1);
            waiters.into_iter().for_each(|one| one.join().unwrap());
            log.borrow_mut().sort_unstable();
            assert_eq!(*log.borrow(), [0, 1, 2, 3]);
            assert!(!late[0].is_finished());
        });
    });
}

/// The mutex is free while one waits, and there is no moment at which a notification is lost.
#[test]
fn waiting_releases_the_mutex_and_misses_nothing() {
    within(|| {
        test::explore_schedules(0..100, || {
            let door = Arc::new(Door::default());
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    let door = Arc::clone(&door);
                    spawn(move || {
                        let guard = door.lock();
                        yield_now();
                        let open = door.opened.wait_while(guard, |open| !*open).unwrap();
                        assert!(*open);
                        yield_now();
                        assert!(*open, "it has the lock again");
                    })
                })
                .collect();
            let opener = Arc::clone(&door);
            spawn_n(move || opener.open());
            waiters.into_iter().for_each(|one| one.join().unwrap());
        });
    });
}

#[test]
fn nobody_returns_without_having_been_notified() {
    within(|| {
        test::virtual_time(|| {
            let (door, log) = (Arc::default(), Rc::default());
            let waiters = queue_up(&door, &log, 2);
            waiters[0].thread().unpark();
            waiters[1].thread().unparker().unpark();
            sleep(SECOND);
            assert!(log.borrow().is_empty());
            door.opened.notify_all();
            waiters.into_iter().for_each(|one| one.join().unwrap());
        });
    });
}

#[test]
fn a_wait_ends_when_its_time_is_up() {
    within(|| {
        test::virtual_time(|| {
            let door = Door::default();
            let start = lowlevel::now();
            let elapsed = || (lowlevel::now() - start).as_secs();
            let (guard, result) = door.opened.wait_timeout(door.lock(), SECOND).unwrap();
            assert!(result.timed_out() && elapsed() == 1);
            let (guard, result) = door.opened.wait_timeout(guard, Duration::ZERO).unwrap();
            assert!(result.timed_out() && elapsed() == 1);
            let mut asked = 0;
            let (guard, result) = door
                .opened
                .wait_timeout_while(guard, 2 * SECOND, |open| {
                    asked += 1;
                    !*open
                })
                .unwrap();
            assert!(result.timed_out() && elapsed() == 3 && asked == 2);
            let (_guard, result) = door
                .opened
                .wait_timeout_while(guard, Duration::ZERO, |_| false)
                .unwrap();
            assert!(!result.timed_out());
        });
    });
}

#[test]
fn a_wait_that_is_notified_in_time_has_not_timed_out() {
    within(|| {
        test::virtual_time(|| {
            let door = Arc::new(Door::default());
            let opener = Arc::clone(&door);
            spawn_n(move || {
                sleep(SECOND);
                opener.opened.notify_all();
                sleep(SECOND);
                opener.open();
            });
            let start = lowlevel::now();
            let waited = door
                .opened
                .wait_timeout_while(door.lock(), LONG, |open| !*open);
            let (guard, result) = waited.unwrap();
            assert!(*guard && !result.timed_out());
            assert_eq!(lowlevel::now() - start, 2 * SECOND);
            drop(guard);
            // A time that no clock can show never comes.
            let opener = Arc::clone(&door);
            spawn_n(move || {
                sleep(SECOND);
                opener.opened.notify_one();
            });
            let waited = door.opened.wait_timeout(door.lock(), Duration::MAX);
            assert!(!waited.unwrap().1.timed_out());
        });
    });
}

/// Whoever has timed out is no longer there to be notified.
#[test]
fn a_notification_goes_to_nobody_whose_time_was_up() {
    within(|| {
        test::virtual_time(|| {
            let (door, log) = (Arc::<Door>::default(), Rc::default());
            let own = Arc::clone(&door);
            let first = spawn(move || {
                let waited = own.opened.wait_timeout(own.lock(), SECOND);
                waited.unwrap().1.timed_out()
            });
            test::wait_all_parked();
            let second = queue_up(&door, &log, 1).remove(0);
            sleep(2 * SECOND);
            door.opened.notify_one();
            assert!(first.join().unwrap());
            second.join().unwrap();
        });
    });
}

#[test]
fn a_notification_of_one_that_is_killed_goes_to_the_next() {
    within(|| {
        for killed_when in ["notified", "waiting for the mutex"] {
            test::virtual_time(|| {
                let (door, log) = (Arc::<Door>::default(), Rc::default());
                let mut waiters = queue_up(&door, &log, 3);
                let guard = door.lock();
                door.opened.notify_one();
                if killed_when == "waiting for the mutex" {
                    test::wait_all_parked();
                }
                waiters.remove(0).kill();
                drop(guard);
                test::wait_all_parked();
                assert_eq!(*log.borrow(), [1], "{killed_when}");
                assert!(!door.open.is_poisoned());
            });
        }
    });
}

#[test]
fn who_is_killed_while_it_waits_does_not_hold_the_mutex() {
    within(|| {
        test::virtual_time(|| {
            let (door, log) = (Arc::<Door>::default(), Rc::default());
            let mut waiters = queue_up(&door, &log, 2);
            waiters.remove(0).kill();
            assert!(timeout(SECOND, || drop(door.opened.wait(door.lock()))).is_err());
            assert!(door.open.try_lock().is_ok());
            door.opened.notify_one();
            waiters.remove(0).join().unwrap();
        });
    });
}

#[test]
fn poison_comes_with_the_guard() {
    within(|| {
        test::virtual_time(|| {
            let door = Arc::new(Door::default());
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let condition = |_: &mut bool| resume_unwind(Box::new("on purpose"));
                drop(door.opened.wait_while(door.lock(), condition));
            }));
            assert!(caught.is_err() && door.open.is_poisoned());
            let waited = door.opened.wait_timeout(door.lock(), SECOND);
            let (guard, result) = waited.unwrap_err().into_inner();
            assert!(!*guard && result.timed_out());
            let waited = door.opened.wait_timeout_while(guard, SECOND, |_| true);
            let (guard, result) = waited.unwrap_err().into_inner();
            assert!(result.timed_out());
            let other = Arc::clone(&door);
            spawn_n(move || other.opened.notify_all());
            let guard = door.opened.wait(guard).unwrap_err().into_inner();
            drop(guard);
            door.open.clear_poison();
            assert!(door.open.lock().is_ok());
        });
    });
}

#[test]
fn a_condition_variable_crosses_os_threads() {
    within(|| {
        let door = Arc::new(Door::default());
        let turns = Arc::new(RwLock::new(Vec::new()));
        let turn = Arc::new((Mutex::new(0), Condvar::new()));
        let threads: Vec<_> = (0..6)
            .map(|n| {
                let (door, turns, turn) =
                    (Arc::clone(&door), Arc::clone(&turns), Arc::clone(&turn));
                let body = move || {
                    drop(door.opened.wait_while(door.lock(), |open| !*open));
                    let mine = turn.1.wait_while(turn.0.lock().unwrap(), |now| *now < n);
                    turns.write().unwrap().push(n);
                    *mine.unwrap() += 1;
                    turn.1.notify_all();
                };
                // Half of them are green threads, the others never use evy otherwise.
                std::thread::spawn(move || match n % 2 {
                    0 => spawn(body).join().unwrap(),
                    _ => body(),
                })
            })
            .collect();
        door.open();
        threads.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(*turns.read().unwrap(), [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn an_os_thread_without_evy_times_out() {
    within(|| {
        let door = Door::default();
        let short = Duration::from_millis(5);
        let waited = door.opened.wait_timeout(door.lock(), short);
        let (guard, result) = waited.unwrap();
        assert!(result.timed_out());
        let waited = door.opened.wait_timeout_while(guard, short, |open| !*open);
        assert!(waited.unwrap().1.timed_out());
    });
}

/// A bounded buffer on two condition variables, each of which wakes one at a time: where a single
/// notification is lost, somebody waits for ever.
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
fn a_bounded_buffer_stands_on_it() {
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
fn struck_anywhere_a_bounded_buffer_loses_nothing() {
    within(|| {
        for role in ["puts", "gets"] {
            let struck = test::inject_faults(|injector| {
                let buffer = Arc::new(Buffer::default());
                let done = Rc::new(Cell::new(0));
                let neighbour = |puts: bool, times: u32| {
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
                let before = neighbour(puts, 2);
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
                let after = neighbour(puts, 2);
                test::wait_all_parked();
                // The other side does as much as was done, and is served to its end.
                let others = neighbour(!puts, 4);
                test::wait_all_parked();
                let rest = neighbour(!puts, 3);
                victim.join().ok();
                test::wait_all_parked();
                // What the victim has not done it can do now.
                let help = neighbour(puts, 3 - done.get());
                for one in [before, after, others, rest, help] {
                    one.join().unwrap();
                }
                assert!(buffer.items.lock().unwrap().is_empty());
            });
            assert!(struck >= 4, "{role}: {struck}");
        }
    });
}

#[test]
fn a_barrier_lets_all_go_together_again_and_again() {
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
                            // Nobody goes on before all have come, so all have seen the old round.
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
            assert_eq!(led, 10, "one leader each time");
        });
    });
}

#[test]
fn a_barrier_for_one_or_none_lets_everybody_pass() {
    for number in [0, 1] {
        let barrier = Barrier::new(number);
        assert!(barrier.wait().is_leader() && barrier.wait().is_leader());
    }
}

#[test]
fn a_waiter_that_gives_up_leaves_the_barrier_as_if_it_had_not_come() {
    within(|| {
        test::virtual_time(|| {
            let barrier = Arc::new(Barrier::new(3));
            let comes = || {
                let barrier = Arc::clone(&barrier);
                let waiter = spawn(move || barrier.wait().is_leader());
                test::wait_all_parked();
                waiter
            };
            comes().kill();
            assert!(timeout(SECOND, || barrier.wait()).is_err());
            let (first, second) = (comes(), comes());
            assert!(!first.is_finished() && !second.is_finished());
            assert!(barrier.wait().is_leader());
            assert!(!first.join().unwrap() && !second.join().unwrap());
        });
    });
}

#[test]
fn struck_anywhere_a_barrier_counts_those_who_are_there() {
    within(|| {
        let struck = test::inject_faults(|injector| {
            let barrier = Arc::new(Barrier::new(3));
            let comes = || {
                let barrier = Arc::clone(&barrier);
                let waiter = spawn(move || barrier.wait().is_leader());
                test::wait_all_parked();
                waiter
            };
            let first = comes();
            let own = Arc::clone(&barrier);
            let passed = Rc::new(Cell::new(false));
            let seen = Rc::clone(&passed);
            let victim = injector.spawn(move || {
                own.wait();
                seen.set(true);
                // A second round, which the others do not come to.
                own.wait();
            });
            test::wait_all_parked();
            let second = comes();
            victim.kill();
            victim.join().ok();
            if !second.is_finished() {
                assert!(!passed.get());
                assert!(barrier.wait().is_leader());
            }
            first.join().unwrap();
            second.join().unwrap();
            // Nobody is counted who is not there.
            let round = [comes(), comes()];
            assert!(round.iter().all(|one| !one.is_finished()));
            assert!(barrier.wait().is_leader());
            round
                .into_iter()
                .for_each(|one| assert!(!one.join().unwrap()));
        });
        assert!(struck >= 4, "{struck}");
    });
}

#[test]
fn a_barrier_joins_green_threads_and_os_threads() {
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
