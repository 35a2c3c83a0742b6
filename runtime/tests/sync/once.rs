//! Tests of `sync::{Once, OnceLock, LazyLock}`: initializers that park, panic, are killed or time
//! out.

#![expect(
    clippy::disallowed_methods,
    reason = "tests compare with what std does"
)]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::sync::{Arc, LazyLock, Once, OnceLock};
use evy_runtime::{sleep, spawn, spawn_n, test, timeout, yield_now};
use evy_test_support::within;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Returns whether `f` unwinds.
fn panics<T>(f: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Panics without calling the panic hook, which would print a message.
fn fail() -> ! {
    resume_unwind(Box::new("on purpose"))
}

#[test]
fn a_once_runs_one_initializer_while_the_other_callers_wait() {
    within(|| {
        test::explore_schedules(0..100, || {
            let (once, runs) = (Arc::new(Once::new()), Rc::new(Cell::new(0)));
            let callers: Vec<_> = (0..5)
                .map(|n| {
                    let (once, runs) = (Arc::clone(&once), Rc::clone(&runs));
                    spawn(move || {
                        if n == 4 {
                            once.wait();
                        } else {
                            once.call_once(|| {
                                assert!(!once.is_completed());
                                sleep(SECOND);
                                runs.set(runs.get() + 1);
                            });
                        }
                        assert_eq!(runs.get(), 1);
                        assert!(once.is_completed());
                    })
                })
                .collect();
            callers.into_iter().for_each(|one| one.join().unwrap());
            once.call_once(|| unreachable!());
            once.call_once_force(|_| unreachable!());
            once.wait();
            once.wait_force();
        });
    });
}

#[test]
fn an_initializer_that_panics_poisons_a_once_until_one_succeeds() {
    within(|| {
        let once = Once::new();
        assert!(panics(|| once.call_once(|| fail())));
        assert!(!once.is_completed());
        assert!(panics(|| once.call_once(|| ())));
        assert!(panics(|| once.wait()));
        assert!(panics(|| once.call_once_force(|state| {
            assert!(state.is_poisoned());
            fail();
        })));
        once.call_once_force(|state| assert!(state.is_poisoned()));
        once.call_once(|| unreachable!());
        once.wait();
        let fresh = Once::new();
        fresh.call_once_force(|state| assert!(!state.is_poisoned()));
    });
}

/// The ways in which the green thread that runs an initializer can be interrupted.
const INTERRUPTS: [&str; 2] = ["kill", "timeout"];

/// Interrupts a green thread inside `init`, and checks that `init` completes nevertheless.
fn interrupt_within(way: &str, init: impl FnOnce() + 'static) {
    let first = spawn(move || {
        let ended_in_time = timeout(SECOND, || {
            init();
            yield_now();
        });
        ended_in_time.is_ok()
    });
    yield_now();
    if way == "kill" {
        first.kill();
        assert!(first.join().is_err_and(|error| error.is_killed()));
    } else {
        let in_time = first.join().expect("the timeout is caught");
        assert!(!in_time, "the timeout is thrown after the initialization");
    }
}

#[test]
fn a_kill_or_a_timeout_of_the_caller_does_not_cut_an_initializer_of_a_once_short() {
    within(|| {
        for way in INTERRUPTS {
            test::virtual_time(|| {
                let once = Arc::new(Once::new());
                let own = Arc::clone(&once);
                interrupt_within(way, move || own.call_once(|| sleep(2 * SECOND)));
                assert!(once.is_completed(), "{way}");
                let forced = Arc::new(Once::new());
                let own = Arc::clone(&forced);
                interrupt_within(way, move || own.call_once_force(|_| sleep(2 * SECOND)));
                assert!(forced.is_completed(), "{way}");
            });
        }
    });
}

#[test]
fn a_kill_or_a_timeout_of_the_first_user_does_not_poison_a_lazy_lock() {
    within(|| {
        for way in INTERRUPTS {
            test::virtual_time(|| {
                let init = || {
                    sleep(2 * SECOND);
                    7
                };
                let lazy = Arc::new(LazyLock::new(init));
                let own = Arc::clone(&lazy);
                interrupt_within(way, move || assert_eq!(**own, 7));
                assert_eq!(**lazy, 7, "{way}");
            });
        }
    });
}

#[test]
fn a_caller_that_waits_for_an_initializer_can_time_out_and_be_killed() {
    within(|| {
        test::virtual_time(|| {
            let once = Arc::new(Once::new());
            let own = Arc::clone(&once);
            let first = spawn(move || own.call_once(|| sleep(LONG)));
            let own = Arc::clone(&once);
            let killed = spawn(move || own.call_once(|| unreachable!()));
            yield_now();
            assert!(timeout(SECOND, || once.call_once(|| unreachable!())).is_err());
            killed.kill();
            assert!(killed.join().is_err());
            first.join().unwrap();
            assert!(once.is_completed());
        });
    });
}

#[test]
fn a_timeout_that_an_initializer_opens_ends_its_block() {
    within(|| {
        test::virtual_time(|| {
            let lazy = LazyLock::new(|| timeout(SECOND, || sleep(LONG)).is_err());
            assert!(*lazy);
        });
    });
}

#[test]
fn waiters_of_a_once_panic_if_the_initializer_unwinds() {
    within(|| {
        test::explore_schedules(0..100, || {
            let once = Arc::new(Once::new());
            let first = Arc::clone(&once);
            let fails = spawn(move || {
                first.call_once(|| {
                    sleep(SECOND);
                    fail();
                });
            });
            test::wait_all_parked();
            let (calls, waits, forces) = (Arc::clone(&once), Arc::clone(&once), Arc::clone(&once));
            let calls = spawn(move || panics(|| calls.call_once(|| unreachable!())));
            let waits = spawn(move || panics(|| waits.wait()));
            let forces = spawn(move || forces.wait_force());
            assert!(fails.join().is_err());
            assert!(calls.join().unwrap() && waits.join().unwrap());
            test::wait_all_parked();
            assert!(!forces.is_finished());
            once.call_once_force(|_| ());
            forces.join().unwrap();
        });
    });
}

/// Of several callers of `call_once_force` that wait, only one runs its initializer.
#[test]
fn call_once_force_takes_over_from_an_initializer_that_panics() {
    within(|| {
        test::explore_schedules(0..100, || {
            let once = Arc::new(Once::new());
            let (first, log) = (Arc::clone(&once), Rc::new(RefCell::new(Vec::new())));
            let fails = spawn(move || {
                first.call_once(|| {
                    sleep(SECOND);
                    fail();
                });
            });
            test::wait_all_parked();
            let others: Vec<_> = (0..3)
                .map(|_| {
                    let (once, log) = (Arc::clone(&once), Rc::clone(&log));
                    spawn(move || {
                        once.call_once_force(|state| {
                            sleep(SECOND);
                            log.borrow_mut().push(state.is_poisoned());
                        });
                    })
                })
                .collect();
            others.into_iter().for_each(|one| one.join().unwrap());
            assert!(fails.join().is_err());
            assert_eq!(*log.borrow(), [true]);
        });
    });
}

#[test]
fn a_once_lock_is_initialized_by_one_caller_while_the_others_wait() {
    within(|| {
        test::explore_schedules(0..100, || {
            let cell = Arc::new(OnceLock::new());
            let callers: Vec<_> = (0..5)
                .map(|n| {
                    let cell = Arc::clone(&cell);
                    spawn(move || match n {
                        0 => *cell.wait(),
                        1 => {
                            cell.set(n).ok();
                            *cell.get().unwrap()
                        }
                        _ => *cell.get_or_init(|| {
                            sleep(SECOND);
                            n
                        }),
                    })
                })
                .collect();
            let seen: HashSet<_> = callers.into_iter().map(|one| one.join().unwrap()).collect();
            assert_eq!(seen.len(), 1);
            assert_eq!(cell.set(9), Err(9));
        });
    });
}

#[test]
fn a_once_lock_stays_empty_for_the_next_caller_if_its_initializer_unwinds() {
    within(|| {
        for way in ["panic", "kill", "timeout"] {
            test::virtual_time(|| {
                let cell = Arc::new(OnceLock::new());
                let own = Arc::clone(&cell);
                let first = spawn(move || {
                    let init = || match way {
                        "panic" => {
                            sleep(SECOND);
                            fail();
                        }
                        _ => sleep(LONG),
                    };
                    let init = || {
                        init();
                        1
                    };
                    match way {
                        "timeout" => drop(timeout(SECOND, || *own.get_or_init(init))),
                        _ => drop(own.get_or_init(init)),
                    }
                });
                test::wait_all_parked();
                let (own, waiting) = (Arc::clone(&cell), Arc::clone(&cell));
                let next = spawn(move || *own.get_or_init(|| 2));
                let waiting = spawn(move || *waiting.wait());
                test::wait_all_parked();
                assert!(cell.get().is_none() && !next.is_finished());
                if way == "kill" {
                    first.kill();
                }
                assert_eq!(next.join().unwrap(), 2, "{way}");
                assert_eq!(waiting.join().unwrap(), 2);
            });
        }
    });
}

#[test]
fn set_waits_for_a_running_initializer_and_returns_its_value() {
    within(|| {
        test::virtual_time(|| {
            let cell = Arc::new(OnceLock::new());
            let own = Arc::clone(&cell);
            spawn_n(move || {
                own.get_or_init(|| {
                    sleep(SECOND);
                    "made".to_owned()
                });
            });
            yield_now();
            assert_eq!(cell.set("given".to_owned()), Err("given".to_owned()));
            assert_eq!(cell.get().map(String::as_str), Some("made"));
        });
    });
}

#[test]
fn the_value_of_a_once_lock_can_be_changed_cloned_and_taken_out() {
    let mut cell = OnceLock::from(vec![1]);
    cell.get_mut().unwrap().push(2);
    let copy = cell.clone();
    assert_eq!(copy, cell);
    assert_eq!(cell.take(), Some(vec![1, 2]));
    assert_ne!(copy, cell);
    assert_eq!(cell.take(), None);
    assert_eq!(cell.set(vec![3]), Ok(()), "the cell is empty again");
    assert_eq!(cell.into_inner(), Some(vec![3]));
    assert_eq!(format!("{copy:?}"), "OnceLock([1, 2])");
    assert_eq!(format!("{:?}", OnceLock::<u8>::new()), "OnceLock(<uninit>)");
}

#[test]
fn a_lazy_lock_is_initialized_by_one_caller_at_its_first_use() {
    within(|| {
        test::explore_schedules(0..100, || {
            static RUNS: AtomicUsize = AtomicUsize::new(0);
            let runs = RUNS.load(Ordering::Relaxed);
            let lazy: Arc<LazyLock<usize>> = Arc::new(LazyLock::new(|| {
                sleep(SECOND);
                RUNS.fetch_add(1, Ordering::Relaxed);
                7
            }));
            assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
            assert!(LazyLock::get(&lazy).is_none());
            let users: Vec<_> = (0..4)
                .map(|_| {
                    let lazy = Arc::clone(&lazy);
                    spawn(move || **lazy)
                })
                .collect();
            for user in users {
                assert_eq!(user.join().unwrap(), 7);
            }
            assert_eq!(RUNS.load(Ordering::Relaxed), runs + 1);
            assert_eq!(format!("{lazy:?}"), "LazyLock(7)");
        });
    });
}

#[test]
fn the_value_of_a_lazy_lock_can_be_changed_through_a_mutable_reference() {
    let mut lazy = LazyLock::new(|| 1);
    assert!(LazyLock::get_mut(&mut lazy).is_none());
    *LazyLock::force_mut(&mut lazy) += 1;
    *lazy += 1;
    assert_eq!(LazyLock::get_mut(&mut lazy), Some(&mut 3));
    assert_eq!(LazyLock::get(&lazy), Some(&3));
    assert_eq!(*LazyLock::<u8>::default(), 0);
}

#[test]
fn a_lazy_lock_stays_poisoned_if_its_initializer_panics() {
    within(|| {
        let mut lazy = LazyLock::new(|| fail());
        for _ in 0..2 {
            assert!(panics(|| LazyLock::force(&lazy)));
        }
        assert!(LazyLock::get(&lazy).is_none());
        assert!(panics(|| LazyLock::force_mut(&mut lazy)));
    });
}

/// Injects faults at each parking point, of the green thread that runs the initializer or of one
/// that waits for it.
#[test]
fn a_fault_does_not_keep_a_once_lock_from_being_initialized() {
    within(|| {
        for first in [true, false] {
            let faults = test::inject_faults(|injector| {
                let cell = Arc::new(OnceLock::new());
                let runs = Rc::new(Cell::new(0));
                let init = || {
                    let (cell, runs) = (Arc::clone(&cell), Rc::clone(&runs));
                    move || {
                        *cell.get_or_init(|| {
                            yield_now();
                            sleep(SECOND);
                            runs.set(runs.get() + 1);
                            5
                        })
                    }
                };
                let mut others = Vec::new();
                if !first {
                    others.push(spawn(init()));
                    yield_now();
                }
                let victim = injector.spawn(init());
                yield_now();
                others.extend([spawn(init()), spawn(init())]);
                let waiting = Arc::clone(&cell);
                others.push(spawn(move || *waiting.wait()));
                for other in others {
                    assert_eq!(other.join().unwrap(), 5);
                }
                victim.join().ok();
                assert_eq!(runs.get(), 1, "the cell is initialized once");
            });
            assert!(faults >= 4, "{faults}");
        }
    });
}

#[test]
fn a_fault_around_a_once_leaves_it_completed() {
    within(|| {
        for first in [true, false] {
            let faults = test::inject_faults(|injector| {
                let (once, runs) = (Arc::new(Once::new()), Rc::new(Cell::new(0)));
                let call = || {
                    let (once, runs) = (Arc::clone(&once), Rc::clone(&runs));
                    move || {
                        once.call_once(|| {
                            yield_now();
                            sleep(SECOND);
                            runs.set(runs.get() + 1);
                        });
                        yield_now();
                    }
                };
                let other = (!first).then(|| spawn(call()));
                yield_now();
                let victim = injector.spawn(call());
                yield_now();
                other.unwrap_or_else(|| spawn(call())).join().unwrap();
                victim.join().ok();
                assert!(once.is_completed());
                assert_eq!(runs.get(), 1);
            });
            assert!(faults >= 4, "{faults}");
        }
    });
}

#[test]
fn one_initializer_runs_for_all_os_threads() {
    static CELL: OnceLock<usize> = OnceLock::new();
    static LAZY: LazyLock<usize> = LazyLock::new(|| {
        // Runs on the OS thread that comes first. The others block or park.
        std::thread::yield_now();
        sleep(Duration::from_millis(5));
        3
    });
    within(|| {
        let threads: Vec<_> = (0..6)
            .map(|n| {
                let body = move || {
                    let init = || {
                        sleep(Duration::from_millis(5));
                        n
                    };
                    let made = match n {
                        5 => *CELL.wait(),
                        _ => *CELL.get_or_init(init),
                    };
                    (made, *LAZY)
                };
                std::thread::spawn(move || match n % 2 {
                    0 => spawn(body).join().unwrap(),
                    _ => body(),
                })
            })
            .collect();
        let made: HashSet<_> = threads.into_iter().map(|one| one.join().unwrap()).collect();
        assert_eq!(made.len(), 1);
        assert!(made.iter().all(|(_, lazy)| *lazy == 3));
    });
}
