//! Tests of `GreenPool::imap`, `imap_unordered` and `starmap`.

use std::cell::{Cell, OnceCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::GreenPool;
use evy_runtime::test::wait_all_parked;
use evy_runtime::thread::{self, Thread};
use evy_runtime::{shield, sleep, spawn, timeout, yield_now};
use evy_test_support::within;

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

/// An iterator that counts the items it has yielded.
struct Pulled<I>(I, Rc<Cell<usize>>);

impl<I: Iterator> Iterator for Pulled<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let next = self.0.next();
        self.1.set(self.1.get() + usize::from(next.is_some()));
        next
    }
}

#[test]
fn imap_yields_results_in_input_order() {
    within(|| {
        let pool = GreenPool::new(4);
        let slow_first = |n: u64| {
            if n == 0 {
                sleep(SHORT);
            }
            n
        };
        let results: Vec<_> = pool.imap(slow_first, 0..20).collect();
        assert_eq!(results, (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn imap_unordered_yields_results_in_order_of_completion() {
    within(|| {
        let pool = GreenPool::new(4);
        let slow_first = |n: u64| {
            if n == 0 {
                sleep(SHORT * 4);
            }
            n
        };
        let results: Vec<_> = pool.imap_unordered(slow_first, 0..4).collect();
        assert_eq!(results, [1, 2, 3, 0]);
    });
}

#[test]
fn imap_of_no_inputs_ends_at_once() {
    within(|| {
        assert_eq!(GreenPool::new(1).imap(|n: u8| n, []).next(), None);
        assert_eq!(GreenPool::new(1).imap_unordered(|n: u8| n, []).next(), None);
    });
}

#[test]
fn imap_of_the_identity_yields_the_input_tuples() {
    within(|| {
        let tuples: Vec<_> = GreenPool::new(2)
            .imap(|t| t, [(1, 'a'), (2, 'b')])
            .collect();
        assert_eq!(tuples, [(1, 'a'), (2, 'b')]);
    });
}

#[test]
fn imap_of_zipped_inputs_ends_with_the_shortest() {
    within(|| {
        let zipped = [1, 2, 3].into_iter().zip([10, 20]);
        let sums: Vec<i32> = GreenPool::new(2).imap(|(a, b)| a + b, zipped).collect();
        assert_eq!(sums, [11, 22]);
    });
}

#[test]
fn imap_reports_a_panic_in_the_position_of_its_input_and_continues() {
    within(|| {
        let pool = GreenPool::new(3);
        let job = |n: usize| match n {
            1 | 7 => resume_unwind(Box::new(n)),
            _ => n,
        };
        let mut results = pool.imap(job, 0..10);
        for expected in 0..10 {
            let got = catch_unwind(AssertUnwindSafe(|| results.next()));
            match expected {
                1 | 7 => assert_eq!(*got.unwrap_err().downcast::<usize>().unwrap(), expected),
                _ => assert_eq!(got.unwrap(), Some(expected)),
            }
        }
        assert_eq!(results.next(), None);
    });
}

#[test]
fn starmap_passes_each_tuple_as_arguments() {
    within(|| {
        let pool = GreenPool::new(2);
        let texts: Vec<_> = pool
            .starmap(
                |a: i32, b: &str, c: char| format!("{a}{b}{c}"),
                [(1, "x", 'y'), (2, "z", 'w')],
            )
            .collect();
        assert_eq!(texts, ["1xy", "2zw"]);
    });
}

#[test]
fn imap_pulls_one_input_more_than_the_pool_has_slots() {
    within(|| {
        for size in [1, 2, 4, 10] {
            let pulled = Rc::new(Cell::new(0));
            let results = GreenPool::new(size).imap(|n| n, Pulled(0.., Rc::clone(&pulled)));
            wait_all_parked();
            assert_eq!(pulled.get(), size + 1);
            drop(results);
        }
    });
}

#[test]
fn two_imaps_on_one_pool_share_its_slots() {
    within(|| {
        let pool = GreenPool::new(3);
        let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let job = {
            let (running, most) = (Rc::clone(&running), Rc::clone(&most));
            move |n: usize| {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                yield_now();
                yield_now();
                running.set(running.get() - 1);
                n
            }
        };
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let (pool, job) = (pool.clone(), job.clone());
                spawn(move || pool.imap(job, 0..20).sum::<usize>())
            })
            .collect();
        yield_now();
        for consumer in consumers {
            assert_eq!(consumer.join().unwrap(), 190);
        }
        assert_eq!(most.get(), 3);
        assert_eq!(pool.running(), 0);
    });
}

#[test]
fn imap_reports_a_panic_of_the_input_iterator_in_order_and_then_ends() {
    within(|| {
        let inputs = (0..).map(|n| {
            if n == 2 {
                resume_unwind(Box::new("input"))
            } else {
                n
            }
        });
        let mut results = GreenPool::new(2).imap(|n: i32| n, inputs);
        assert_eq!(results.next(), Some(0));
        assert_eq!(results.next(), Some(1));
        let caught = catch_unwind(AssertUnwindSafe(|| results.next())).unwrap_err();
        assert_eq!(caught.downcast_ref(), Some(&"input"));
        assert_eq!(results.next(), None);
    });
}

#[test]
fn dropping_imap_ends_its_feeder_and_its_jobs() {
    within(|| {
        let pool = GreenPool::new(2);
        let (pulled, ran) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let count = Rc::clone(&ran);
        let mut results = pool.imap(
            move |_| count.set(count.get() + 1),
            Pulled(0.., Rc::clone(&pulled)),
        );
        results.next();
        drop(results);
        wait_all_parked();
        let (pulled_then, ran_then) = (pulled.get(), ran.get());
        wait_all_parked();
        assert_eq!((pulled.get(), ran.get()), (pulled_then, ran_then));
        assert_eq!(pool.running(), 0);
        assert_eq!(evy_runtime::shutdown(Duration::ZERO), 0);
    });
}

#[test]
fn imap_in_a_member_of_a_full_pool_does_not_deadlock() {
    within(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let sum = pool.spawn(move || inner.imap(|n: u32| n, 0..5).sum::<u32>());
        assert_eq!(sum.join().unwrap(), 10);
    });
}

#[test]
fn imap_loses_no_result_if_its_consumer_times_out() {
    within(|| {
        let pool = GreenPool::new(2);
        let mut results = pool.imap(
            |n: u8| {
                sleep(SHORT * 4);
                n
            },
            [1, 2],
        );
        assert!(timeout(SHORT, || results.next()).is_err());
        assert_eq!(results.collect::<Vec<_>>(), [1, 2]);
    });
}

/// Makes the handle of the green thread that pulls the inputs known.
fn inputs_with_feeder(feeder: Rc<OnceCell<Thread>>) -> impl Iterator<Item = u32> {
    (0..).inspect(move |_| {
        feeder.get_or_init(thread::current);
    })
}

#[test]
fn imap_reports_the_kill_of_its_feeder_after_the_results_before_it() {
    within(|| {
        for unordered in [false, true] {
            let (pool, feeder) = (GreenPool::new(2), Rc::new(OnceCell::new()));
            let inputs = inputs_with_feeder(Rc::clone(&feeder));
            let mut results = match unordered {
                true => pool.imap_unordered(|n| n, inputs),
                false => pool.imap(|n| n, inputs),
            };
            assert_eq!(results.next(), Some(0));
            wait_all_parked();
            feeder.get().unwrap().kill();
            let mut left = 0;
            let end = loop {
                match catch_unwind(AssertUnwindSafe(|| results.next())) {
                    Ok(Some(_)) => left += 1,
                    end => break end,
                }
            };
            assert!(left > 0);
            let message = end.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains("not complete"), "{message}");
            assert_eq!(results.next(), None);
        }
    });
}

#[test]
fn imap_reports_the_kill_of_its_feeder_while_it_waits_for_a_slot() {
    within(|| {
        for unordered in [false, true] {
            let (pool, feeder) = (GreenPool::new(1), Rc::new(OnceCell::new()));
            let other = pool.spawn(thread::park);
            let inputs = inputs_with_feeder(Rc::clone(&feeder));
            let mut results = match unordered {
                true => pool.imap_unordered(|n| n, inputs),
                false => pool.imap(|n| n, inputs),
            };
            wait_all_parked();
            assert_eq!(pool.waiting(), 1);
            feeder.get().unwrap().kill();
            let end = catch_unwind(AssertUnwindSafe(|| results.next()));
            let message = end.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains("not complete"), "{message}");
            assert_eq!(results.next(), None);
            other.kill();
        }
    });
}

#[test]
fn a_dropped_imap_starts_nothing_more_although_its_inputs_defer_the_kill() {
    within(|| {
        let (pool, ran) = (GreenPool::new(4), Rc::new(Cell::new(0)));
        let count = Rc::clone(&ran);
        let inputs = (0..).inspect(|_| shield(|| sleep(SHORT)));
        let mut results = pool.imap(move |_: u32| count.set(count.get() + 1), inputs);
        results.next();
        let ran_then = ran.get();
        drop(results);
        assert_eq!(evy_runtime::shutdown(LONG), 0);
        assert_eq!(ran.get(), ran_then);
    });
}

#[test]
fn jobs_of_imap_are_spawned_at_the_call_of_imap() {
    within(|| {
        let (pool, line) = (GreenPool::new(2), line!());
        let site = |_: u8| thread::current().spawned_at();
        let sites = pool
            .imap(site, [1])
            .chain(pool.imap_unordered(site, [1]))
            .chain(pool.starmap(site, [(1,)]));
        for site in sites {
            assert!(site.file().ends_with("imap.rs"), "{site}");
            assert!((line..line + 6).contains(&site.line()), "{site}");
        }
    });
}
