//! Tests of `GreenPool::imap_scoped` and `imap_unordered_scoped`: they borrow, and keep the promises
//! of `imap`.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use evy_pool::{GreenPool, ScopedImap};
use evy_runtime::test::{inject_faults, wait_all_parked};
use evy_runtime::thread;
use evy_runtime::{scope, sleep, spawn, timeout, yield_now};
use evy_test_support::{in_any_order, within};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn jobs_inputs_and_results_may_borrow() {
    in_any_order(|| {
        let words = vec!["a".to_owned(), "bc".to_owned(), "def".to_owned()];
        let calls = Cell::new(0);
        let pool = GreenPool::new(2);
        let longest: Option<&str> = scope(|s| {
            let job = |word: &'_ String| {
                calls.set(calls.get() + 1);
                yield_now();
                word.len()
            };
            let lengths: Vec<_> = pool.imap_scoped(s, job, &words).collect();
            assert_eq!(lengths, [1, 2, 3]);
            let same = pool.imap_unordered_scoped(s, String::as_str, &words);
            same.max_by_key(|word| word.len())
        });
        assert_eq!((longest, calls.get()), (Some("def"), 3));
    });
}

#[test]
fn results_come_in_input_order_or_in_order_of_completion() {
    within(|| {
        let pool = GreenPool::new(4);
        let slow_first = |n: u64| {
            if n == 0 {
                sleep(SHORT * 4);
            }
            n
        };
        scope(|s| {
            let results: Vec<_> = pool.imap_scoped(s, slow_first, 0..4).collect();
            assert_eq!(results, [0, 1, 2, 3]);
            let results: Vec<_> = pool.imap_unordered_scoped(s, slow_first, 0..4).collect();
            assert_eq!(results, [1, 2, 3, 0]);
        });
    });
}

#[test]
fn a_panic_of_a_job_reaches_the_consumer_and_not_the_scope() {
    within(|| {
        let pool = GreenPool::new(3);
        scope(|s| {
            let job = |n: usize| match n {
                1 | 7 => resume_unwind(Box::new(n)),
                _ => n,
            };
            let mut results = pool.imap_scoped(s, job, 0..10);
            for expected in 0..10 {
                let got = catch_unwind(AssertUnwindSafe(|| results.next()));
                match expected {
                    1 | 7 => assert_eq!(*got.unwrap_err().downcast::<usize>().unwrap(), expected),
                    _ => assert_eq!(got.unwrap(), Some(expected)),
                }
            }
            assert_eq!(results.next(), None);
        });
        assert_eq!(pool.running(), 0);
    });
}

#[test]
fn a_panic_of_the_input_iterator_comes_after_the_results_before_it() {
    within(|| {
        let (pool, seen) = (GreenPool::new(2), Cell::new(0));
        scope(|s| {
            let inputs = (0..).inspect(|n| {
                if *n == 2 {
                    resume_unwind(Box::new("input"))
                }
                seen.set(seen.get() + 1);
            });
            let mut results = pool.imap_scoped(s, |n: i32| n, inputs);
            assert_eq!((results.next(), results.next()), (Some(0), Some(1)));
            let caught = catch_unwind(AssertUnwindSafe(|| results.next())).unwrap_err();
            assert_eq!(caught.downcast_ref(), Some(&"input"));
            assert_eq!(results.next(), None);
        });
        assert_eq!(seen.get(), 2);
    });
}

#[test]
fn dropping_the_iterator_early_ends_the_scope() {
    in_any_order(|| {
        for unordered in [false, true] {
            let (pool, ran) = (GreenPool::new(2), Cell::new(0));
            let count = |n: u32| {
                ran.set(ran.get() + 1);
                n
            };
            scope(|s| {
                let mut results = match unordered {
                    true => pool.imap_unordered_scoped(s, count, 0..),
                    false => pool.imap_scoped(s, count, 0..),
                };
                assert!(results.next().is_some());
            });
            scope(|s| drop(pool.imap_scoped(s, count, 0..)));
            let ran_then = ran.get();
            wait_all_parked();
            assert_eq!((ran.get(), pool.running()), (ran_then, 0));
        }
    });
}

#[test]
fn a_panic_that_is_not_read_does_not_make_the_scope_panic() {
    within(|| {
        let pool = GreenPool::new(2);
        scope(|s| {
            let results = pool.imap_scoped(s, |_: u8| resume_unwind(Box::new(())), [1, 2]);
            wait_all_parked();
            drop::<ScopedImap<'_, ()>>(results);
        });
        assert_eq!(pool.running(), 0);
    });
}

#[test]
fn no_result_is_lost_if_the_consumer_times_out() {
    within(|| {
        let pool = GreenPool::new(2);
        let slow = |n: u32| {
            sleep(SHORT * 4);
            n
        };
        scope(|s| {
            let mut results = pool.imap_scoped(s, slow, [1, 2]);
            assert!(timeout(SHORT, || results.next()).is_err());
            assert_eq!(results.collect::<Vec<_>>(), [1, 2]);
            let mut results = pool.imap_unordered_scoped(s, slow, [1, 2]);
            assert!(timeout(SHORT, || results.next()).is_err());
            assert_eq!(results.sum::<u32>(), 3);
        });
    });
}

#[test]
fn a_scope_that_ends_early_leaves_no_job_that_borrows() {
    within(|| {
        let pool = GreenPool::new(2);
        let own = pool.clone();
        let consumer = spawn(move || {
            let running = Cell::new(0);
            scope(|s| {
                let job = |_: u8| {
                    running.set(running.get() + 1);
                    sleep(LONG);
                };
                own.imap_scoped(s, job, [1, 2, 3]).for_each(drop);
            });
        });
        wait_all_parked();
        assert_eq!(pool.running(), 2);
        consumer.kill();
        assert!(consumer.join().unwrap_err().is_killed());
        assert_eq!((pool.running(), pool.waiting()), (0, 0));
    });
}

#[test]
fn a_fault_in_the_consumer_leaves_the_pool_empty() {
    for unordered in [false, true] {
        let faults = inject_faults(|injector| {
            let pool = GreenPool::new(2);
            let own = pool.clone();
            let victim = injector.spawn(move || {
                let results = RefCell::new(Vec::new());
                scope(|s| {
                    let job = |n: u32| {
                        sleep(SHORT);
                        results.borrow_mut().push(n);
                    };
                    match unordered {
                        true => own.imap_unordered_scoped(s, job, 0..5).for_each(drop),
                        false => own.imap_scoped(s, job, 0..5).for_each(drop),
                    }
                });
                assert_eq!(results.take(), [0, 1, 2, 3, 4]);
            });
            victim.join().ok();
            wait_all_parked();
            assert_eq!((pool.running(), pool.waiting()), (0, 0));
        });
        assert!(faults >= 8, "{faults}");
    }
}

#[test]
fn a_member_of_a_full_pool_may_map_in_a_scope() {
    within(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let sum =
            pool.spawn(move || scope(|s| inner.imap_scoped(s, |n: u32| n, 0..5).sum::<u32>()));
        assert_eq!(sum.join().unwrap(), 10);
    });
}

#[test]
fn jobs_are_spawned_at_the_call() {
    within(|| {
        let (pool, line) = (GreenPool::new(2), line!());
        let site = |_: u8| thread::current().spawned_at();
        scope(|s| {
            let sites = pool
                .imap_scoped(s, site, [1])
                .chain(pool.imap_unordered_scoped(s, site, [1]));
            for site in sites {
                assert!(site.file().ends_with("scoped_imap.rs"), "{site}");
                assert!((line..line + 6).contains(&site.line()), "{site}");
            }
        });
    });
}
