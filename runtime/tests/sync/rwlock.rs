//! Tests of `sync::RwLock`: exclusion, fairness, poisoning, and the lock after readers and writers
//! are interrupted.

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

/// Locks for reading, whether the lock is poisoned or not.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, whether the lock is poisoned or not.
fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn would_block<G>(result: TryLockResult<G>) -> bool {
    matches!(result, Err(TryLockError::WouldBlock))
}

/// The names of the holders, each with the second at which it acquired the lock.
type Log = Rc<RefCell<Vec<(&'static str, u64)>>>;

/// Spawns a reader for each lower-case name and a writer for each upper-case one. They queue in the
/// order of `names`. Each logs when it has acquired the lock, and holds it for a second.
fn queue_up(lock: &Arc<RwLock<()>>, names: &[&'static str], log: &Log) -> Vec<JoinHandle<()>> {
    let start = lowlevel::now();
    let enter = |name: &&'static str| {
        let (lock, log, name) = (Arc::clone(lock), Rc::clone(log), *name);
        let hold = move || {
            let now = (lowlevel::now() - start).as_secs();
            log.borrow_mut().push((name, now));
            sleep(SECOND);
        };
        let handle = if name.starts_with(char::is_lowercase) {
            spawn(move || {
                let _guard = read(&lock);
                hold();
            })
        } else {
            spawn(move || {
                let _guard = write(&lock);
                hold();
            })
        };
        // This one has queued before the next one is spawned.
        test::wait_all_parked();
        handle
    };
    names.iter().map(enter).collect()
}

fn join_all(handles: Vec<JoinHandle<()>>) {
    handles.into_iter().for_each(|one| one.join().unwrap());
}

#[test]
fn readers_share_the_lock_and_a_writer_holds_it_alone() {
    within(|| {
        let max = Arc::new(AtomicUsize::new(0));
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
                let max = Arc::clone(&max);
                all.push(spawn(move || {
                    for _ in 0..3 {
                        let pair = own.read().unwrap();
                        reading.set(reading.get() + 1);
                        max.fetch_max(reading.get(), Ordering::Relaxed);
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
            max.load(Ordering::Relaxed),
            4,
            "all four readers held the lock at the same time"
        );
    });
}

#[test]
fn waiters_are_served_in_fifo_order_and_adjacent_readers_together() {
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
fn readers_that_overlap_do_not_starve_a_writer() {
    within(|| {
        test::virtual_time(|| {
            let lock = Arc::new(RwLock::new(false));
            let readers: Vec<_> = (0..3)
                .map(|n| {
                    let lock = Arc::clone(&lock);
                    spawn(move || {
                        // At every moment one of the readers holds the lock.
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
fn writers_that_retry_do_not_starve_a_reader() {
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
fn a_reader_behind_a_waiting_writer_waits() {
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
fn the_readers_behind_a_writer_that_gives_up_are_handed_the_lock() {
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
                assert_eq!(
                    names,
                    ["b", "c"],
                    "both read beside the first reader ({way})"
                );
                drop(reading);
                join_all(behind);
                assert_eq!(log.borrow().len(), 3);
            });
        }
    });
}

#[test]
fn a_writer_that_gives_up_between_writers_leaves_the_order_unchanged() {
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
fn a_waiter_killed_after_it_was_handed_the_lock_hands_it_to_the_next() {
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
fn downgrade_hands_the_lock_to_waiting_readers_and_to_no_writer() {
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

/// Unwinds in one of three ways while `guard` is held.
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
fn a_writer_that_unwinds_poisons_the_lock_and_a_reader_does_not() {
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
fn a_green_thread_that_parks_while_unwinding_poisons_no_lock_of_another() {
    struct SleepsOnDrop;
    impl Drop for SleepsOnDrop {
        fn drop(&mut self) {
            sleep(LONG);
        }
    }
    within(|| {
        test::virtual_time(|| {
            let lock = RwLock::new(());
            let held = lock.write().unwrap();
            let unwinding = spawn(|| {
                let _sleeps_on_drop = SleepsOnDrop;
                resume_unwind(Box::new("on purpose"));
            });
            yield_now();
            drop(held);
            drop(lock.write().unwrap());
            drop(RwLockWriteGuard::downgrade(lock.write().unwrap()));
            assert!(unwinding.join().is_err());
            assert!(!lock.is_poisoned());
        });
    });
}

#[test]
fn os_threads_without_green_threads_exclude_each_other() {
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
fn a_fault_leaves_the_lock_usable_and_poisons_it_only_during_a_write() {
    within(|| {
        for role in ["write", "read", "downgrade"] {
            let faults = test::inject_faults(|injector| {
                let lock = Arc::new(RwLock::new((0, 0)));
                let writes = Rc::new(Cell::new(false));
                let spawn_others = || {
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
                let before = spawn_others();
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
                let after = spawn_others();
                victim.join().ok();
                for one in before.into_iter().chain(after) {
                    one.join().unwrap();
                }
                assert_eq!(lock.is_poisoned(), writes.get());
                assert_eq!(*read(&lock), (4, 4));
                // No stale waiter is left in the queue, so new waiters are served.
                let guard = write(&lock);
                let last = spawn_others();
                test::wait_all_parked();
                drop(guard);
                last.into_iter().for_each(|last| last.join().unwrap());
                assert!(!would_block(lock.try_write()));
            });
            assert!(faults >= 12, "{role}: {faults}");
        }
    });
}

#[test]
fn the_data_can_be_formatted_changed_and_taken_out() {
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
