//! `sync::RwLock`: readers together, writers alone, nobody starved, and what becomes of it when its
//! users are interrupted.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::sync::{
    Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult,
};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{lowlevel, sleep, spawn, test, timeout, yield_now};
use evy_test_support::within;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// The lock for reading, poisoned or not.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// The lock for writing, poisoned or not.
fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn would_block<G>(result: TryLockResult<G>) -> bool {
    matches!(result, Err(TryLockError::WouldBlock))
}

/// Who came in when, and left.
type Log = Rc<RefCell<Vec<(&'static str, u64)>>>;

/// Those who want in, in the order of arrival: readers have a name in small letters. Each stays for
/// a second, and logs when it came in.
fn queue_up(lock: &Arc<RwLock<()>>, names: &[&'static str], log: &Log) -> Vec<JoinHandle<()>> {
    let start = lowlevel::now();
    let enter = |name: &&'static str| {
        let (lock, log, name) = (Arc::clone(lock), Rc::clone(log), *name);
        let comes = move || {
            let now = (lowlevel::now() - start).as_secs();
            log.borrow_mut().push((name, now));
            sleep(SECOND);
        };
        let handle = if name.starts_with(char::is_lowercase) {
            spawn(move || {
                let _guard = read(&lock);
                comes();
            })
        } else {
            spawn(move || {
                let _guard = write(&lock);
                comes();
            })
        };
        // Parked before the next one comes.
        test::wait_all_parked();
        handle
    };
    names.iter().map(enter).collect()
}

fn join_all(handles: Vec<JoinHandle<()>>) {
    handles.into_iter().for_each(|one| one.join().unwrap());
}

#[test]
fn readers_go_together_and_a_writer_alone() {
    within(|| {
        let most = Arc::new(AtomicUsize::new(0));
        test::explore_schedules(0..100, || {
            let lock = Arc::new(RwLock::new((0, 0)));
            let reading = Rc::new(Cell::new(0));
            let mut all = Vec::new();
            for n in 0..4 {
                let own = Arc::clone(&lock);
                all.push(spawn(move || {
                    for _ in 0..3 {
                        let mut pair = own.write().unwrap();
                        pair.0 += 1;
                        match n % 2 {
                            0 => yield_now(),
                            _ => sleep(SECOND),
                        }
                        pair.1 += 1;
                    }
                }));
                let (own, reading) = (Arc::clone(&lock), Rc::clone(&reading));
                let most = Arc::clone(&most);
                all.push(spawn(move || {
                    for _ in 0..3 {
                        let pair = own.read().unwrap();
                        reading.set(reading.get() + 1);
                        most.fetch_max(reading.get(), Ordering::Relaxed);
                        assert_eq!(pair.0, pair.1);
                        sleep(SECOND);
                        assert_eq!(pair.0, pair.1);
                        reading.set(reading.get() - 1);
                    }
                }));
            }
            join_all(all);
            assert_eq!(*lock.read().unwrap(), (12, 12));
        });
        assert_eq!(
            most.load(Ordering::Relaxed),
            4,
            "so many have read together"
        );
    });
}

#[test]
fn first_come_first_served_and_neighbouring_readers_together() {
    within(|| {
        test::explore_schedules(0..100, || {
            let lock = Arc::default();
            let log = Log::default();
            join_all(queue_up(&lock, &["A", "b", "c", "D", "E", "f"], &log));
            assert_eq!(log.borrow()[0], ("A", 0));
            let mut middle = log.borrow()[1..3].to_vec();
            middle.sort_unstable();
            assert_eq!(middle, [("b", 1), ("c", 1)]);
            assert_eq!(log.borrow()[3..], [("D", 2), ("E", 3), ("f", 4)]);
        });
    });
}

#[test]
fn a_writer_gets_in_between_readers_that_overlap_for_ever() {
    within(|| {
        test::virtual_time(|| {
            let lock = Arc::new(RwLock::new(false));
            let readers: Vec<_> = (0..3)
                .map(|n| {
                    let lock = Arc::clone(&lock);
                    spawn(move || {
                        // At every moment one of them reads.
                        sleep(n * SECOND);
                        while !*lock.read().unwrap() {
                            let guard = lock.read().unwrap();
                            sleep(3 * SECOND);
                            drop(guard);
                        }
                    })
                })
                .collect();
            sleep(10 * SECOND);
            assert!(would_block(lock.try_write()));
            let start = lowlevel::now();
            *lock.write().unwrap() = true;
            assert!(lowlevel::now() - start <= 3 * SECOND);
            join_all(readers);
        });
    });
}

#[test]
fn a_reader_gets_in_between_writers_that_come_for_ever() {
    within(|| {
        test::virtual_time(|| {
            let lock = Arc::new(RwLock::new(0));
            let writers: Vec<_> = (0..3)
                .map(|_| {
                    let lock = Arc::clone(&lock);
                    spawn(move || {
                        for _ in 0..100 {
                            let mut count = lock.write().unwrap();
                            *count += 1;
                            sleep(SECOND);
                        }
                    })
                })
                .collect();
            sleep(10 * SECOND);
            let start = lowlevel::now();
            assert!(*lock.read().unwrap() < 20);
            assert!(lowlevel::now() - start <= 3 * SECOND);
            join_all(writers);
        });
    });
}

#[test]
fn a_reader_that_comes_behind_a_waiting_writer_waits() {
    within(|| {
        test::virtual_time(|| {
            let lock = Arc::default();
            let log = Log::default();
            let all = queue_up(&lock, &["a", "B"], &log);
            assert!(would_block(lock.try_read()) && would_block(lock.try_write()));
            join_all(all);
            drop(lock.try_read().unwrap());
            drop(lock.try_write().unwrap());
        });
    });
}

#[test]
fn a_writer_that_gives_up_lets_those_behind_it_in() {
    within(|| {
        for way in ["kill", "timeout"] {
            test::virtual_time(|| {
                let lock: Arc<RwLock<()>> = Arc::default();
                let log = Log::default();
                let reading = lock.read().unwrap();
                let own = Arc::clone(&lock);
                let writer = spawn(move || timeout(SECOND, || drop(own.write())).is_err());
                test::wait_all_parked();
                let behind = queue_up(&lock, &["b", "c", "D"], &log);
                assert!(log.borrow().is_empty());
                if way == "kill" {
                    writer.kill();
                    test::wait_all_parked();
                } else {
                    assert!(writer.join().unwrap());
                }
                let names: Vec<_> = log.borrow().iter().map(|(name, _)| *name).collect();
                assert_eq!(names, ["b", "c"], "beside the one that reads ({way})");
                drop(reading);
                join_all(behind);
                assert_eq!(log.borrow().len(), 3);
            });
        }
    });
}

#[test]
fn a_writer_that_gives_up_between_writers_changes_nothing() {
    within(|| {
        test::virtual_time(|| {
            let lock: Arc<RwLock<()>> = Arc::default();
            let log = Log::default();
            let mut all = queue_up(&lock, &["A", "B", "C", "d"], &log);
            all.remove(2).kill();
            join_all(all);
            assert_eq!(*log.borrow(), [("A", 0), ("B", 1), ("d", 2)]);
        });
    });
}

#[test]
fn one_that_was_let_in_and_is_killed_before_it_runs_lets_the_next_in() {
    within(|| {
        for [first, second] in [["B", "C"], ["B", "c"], ["b", "C"]] {
            test::virtual_time(|| {
                let lock: Arc<RwLock<()>> = Arc::default();
                let log = Log::default();
                let guard = lock.write().unwrap();
                let mut all = queue_up(&lock, &[first, second], &log);
                drop(guard);
                all.remove(0).kill();
                join_all(all);
                assert_eq!(*log.borrow(), [(second, 0)]);
                assert!(!lock.is_poisoned());
            });
        }
    });
}

#[test]
fn downgrade_lets_readers_in_and_no_writer() {
    within(|| {
        test::virtual_time(|| {
            let lock = Arc::new(RwLock::new(0));
            let mut guard = lock.write().unwrap();
            let spawn_reader = || {
                let own = Arc::clone(&lock);
                spawn(move || *own.read().unwrap())
            };
            let reader = spawn_reader();
            test::wait_all_parked();
            let own = Arc::clone(&lock);
            let writer = spawn(move || *own.write().unwrap() = 2);
            test::wait_all_parked();
            let late = spawn_reader();
            *guard = 1;
            let guard = RwLockWriteGuard::downgrade(guard);
            assert_eq!(reader.join().unwrap(), 1);
            test::wait_all_parked();
            assert_eq!(*guard, 1);
            assert!(would_block(lock.try_read()));
            drop(guard);
            writer.join().unwrap();
            assert_eq!(late.join().unwrap(), 2);
            drop(RwLockWriteGuard::downgrade(lock.write().unwrap()));
            assert_eq!(*lock.try_write().unwrap(), 2);
        });
    });
}

/// Unwinds in one of three ways while it has `guard`.
fn unwind<G>(way: &str, guard: G) {
    match way {
        "panic" => resume_unwind(Box::new("on purpose")),
        "kill" => sleep(LONG),
        _ => drop(timeout(SECOND, move || {
            let _guard = guard;
            sleep(LONG);
        })),
    }
}

#[test]
fn a_writer_poisons_and_a_reader_does_not() {
    within(|| {
        for way in ["panic", "kill", "timeout"] {
            test::virtual_time(|| {
                for (kind, poisons) in [("read", false), ("downgraded", false), ("write", true)] {
                    let lock: &'static RwLock<u8> = Box::leak(Box::default());
                    let holder = spawn(move || match kind {
                        "read" => unwind(way, lock.read().unwrap()),
                        "write" => unwind(way, lock.write().unwrap()),
                        _ => {
                            let guard = RwLockWriteGuard::downgrade(lock.write().unwrap());
                            unwind(way, guard);
                        }
                    });
                    yield_now();
                    if way == "kill" {
                        holder.kill();
                    }
                    holder.join().ok();
                    assert_eq!(lock.is_poisoned(), poisons, "{way}, {kind}");
                    assert_eq!(lock.read().is_err(), poisons);
                    assert_eq!(lock.try_write().is_err(), poisons);
                    lock.clear_poison();
                    assert!(lock.write().is_ok() && lock.try_read().is_ok());
                }
            });
        }
    });
}

#[test]
fn a_neighbour_that_parks_while_unwinding_poisons_nothing() {
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(LONG);
        }
    }
    within(|| {
        test::virtual_time(|| {
            let lock = RwLock::new(());
            let held = lock.write().unwrap();
            let neighbour = spawn(|| {
                let _slow = Slow;
                resume_unwind(Box::new("on purpose"));
            });
            yield_now();
            drop(held);
            drop(lock.write().unwrap());
            drop(RwLockWriteGuard::downgrade(lock.write().unwrap()));
            assert!(neighbour.join().is_err());
            assert!(!lock.is_poisoned());
        });
    });
}

#[test]
fn os_threads_that_never_used_evy_read_and_write() {
    within(|| {
        let lock = Arc::new(RwLock::new((0u64, 0u64)));
        let seen = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let (lock, seen) = (Arc::clone(&lock), Arc::clone(&seen));
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        if n % 2 == 0 {
                            let mut pair = lock.write().unwrap();
                            pair.0 += 1;
                            pair.1 += 1;
                        } else {
                            let pair = lock.read().unwrap();
                            assert_eq!(pair.0, pair.1);
                            seen.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*lock.read().unwrap(), (2000, 2000));
        assert_eq!(seen.load(Ordering::Relaxed), 2000);
    });
}

#[test]
fn struck_anywhere_a_rwlock_goes_on_and_is_poisoned_by_a_writer_only() {
    within(|| {
        for role in ["write", "read", "downgrade"] {
            let struck = test::inject_faults(|injector| {
                let lock = Arc::new(RwLock::new((0, 0)));
                let writes = Rc::new(Cell::new(false));
                let neighbours = || {
                    let (writing, reading) = (Arc::clone(&lock), Arc::clone(&lock));
                    let writer = spawn(move || {
                        for _ in 0..2 {
                            let mut pair = write(&writing);
                            pair.0 += 1;
                            sleep(SECOND);
                            pair.1 += 1;
                        }
                    });
                    let reader = spawn(move || {
                        for _ in 0..2 {
                            let pair = read(&reading);
                            let seen = *pair;
                            sleep(SECOND);
                            assert_eq!(*pair, seen);
                        }
                    });
                    [writer, reader]
                };
                let before = neighbours();
                let (own, flag) = (Arc::clone(&lock), Rc::clone(&writes));
                let victim = injector.spawn(move || {
                    for _ in 0..2 {
                        if role == "read" {
                            let _guard = read(&own);
                            sleep(SECOND);
                            continue;
                        }
                        let guard = write(&own);
                        flag.set(true);
                        sleep(SECOND);
                        flag.set(false);
                        if role == "downgrade" {
                            let _guard = RwLockWriteGuard::downgrade(guard);
                            sleep(SECOND);
                        }
                    }
                });
                let after = neighbours();
                victim.join().ok();
                for one in before.into_iter().chain(after) {
                    one.join().unwrap();
                }
                assert_eq!(lock.is_poisoned(), writes.get());
                assert_eq!(*read(&lock), (4, 4));
                // Nobody is left in the queue.
                let guard = write(&lock);
                let last = neighbours();
                test::wait_all_parked();
                drop(guard);
                last.into_iter().for_each(|last| last.join().unwrap());
                assert!(!would_block(lock.try_write()));
            });
            assert!(struck >= 12, "{role}: {struck}");
        }
    });
}

#[test]
fn what_is_inside_comes_out() {
    let mut lock = RwLock::from(vec![1]);
    lock.get_mut().unwrap().push(2);
    assert_eq!(
        format!("{lock:?}"),
        "RwLock { data: [1, 2], poisoned: false, .. }"
    );
    let guard = lock.write().unwrap();
    assert_eq!(format!("{guard:?}"), "[1, 2]");
    assert_eq!(
        format!("{lock:?}"),
        "RwLock { data: <locked>, poisoned: false, .. }"
    );
    drop(guard);
    let outcome = std::panic::catch_unwind(|| {
        let _guard = lock.write().unwrap();
        resume_unwind(Box::new("on purpose"));
    });
    assert!(outcome.is_err());
    assert_eq!(lock.get_mut().unwrap_err().into_inner().len(), 2);
    assert_eq!(lock.into_inner().unwrap_err().into_inner(), [1, 2]);
}
