//! Tests of `GreenPile`, and stress tests of piles, of `imap` and of two pools.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{GreenPile, GreenPool};
use evy_runtime::{sleep, spawn, timeout, yield_now};
use evy_test_support::within;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn results_are_yielded_in_spawn_order() {
    within(|| {
        let pile = GreenPile::new(4);
        for n in 0..10u64 {
            pile.spawn(move || {
                for _ in 0..(n * 7 % 5) {
                    yield_now();
                }
                n
            });
        }
        assert_eq!(pile.collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn an_empty_pile_ends_at_once() {
    within(|| assert_eq!(GreenPile::<u8>::new(4).next(), None));
}

#[test]
fn a_spawn_that_times_out_adds_nothing_to_a_pile() {
    within(|| {
        let pile = GreenPile::new(4);
        for n in 0..5 {
            pile.spawn(move || n);
        }
        let blocked = GreenPool::new(1);
        blocked.spawn_n(|| sleep(LONG));
        let full = GreenPile::with_pool(&blocked);
        assert!(timeout(Duration::ZERO, || full.spawn(|| 99)).is_err());
        for n in 5..10 {
            pile.spawn(move || n);
        }
        assert_eq!(pile.collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert_eq!(full.count(), 0);
        blocked.kill_all();
    });
}

#[test]
fn two_piles_on_one_pool_each_yield_their_own_results_in_order() {
    within(|| {
        let pool = GreenPool::new(2);
        let producers: Vec<_> = [0, 100]
            .into_iter()
            .map(|from| {
                let pile = GreenPile::with_pool(&pool);
                spawn(move || {
                    for n in from..from + 10 {
                        pile.spawn(move || {
                            yield_now();
                            n
                        });
                    }
                    pile.collect::<Vec<_>>()
                })
            })
            .collect();
        for (from, producer) in [0, 100].into_iter().zip(producers) {
            assert_eq!(
                producer.join().unwrap(),
                (from..from + 10).collect::<Vec<_>>()
            );
        }
    });
}

#[test]
fn a_panic_is_reported_in_its_position_and_the_later_results_follow() {
    within(|| {
        let mut pile = GreenPile::new(4);
        for n in 0..4 {
            pile.spawn(move || {
                if n == 1 {
                    resume_unwind(Box::new("one"))
                } else {
                    n
                }
            });
        }
        assert_eq!(pile.next(), Some(0));
        assert!(catch_unwind(AssertUnwindSafe(|| pile.next())).is_err());
        assert_eq!(pile.collect::<Vec<_>>(), [2, 3]);
    });
}

#[test]
fn a_pile_can_be_filled_again_after_it_has_ended() {
    within(|| {
        let mut pile = GreenPile::new(2);
        for round in 0..3 {
            pile.spawn(move || round);
            assert_eq!(pile.by_ref().collect::<Vec<_>>(), [round]);
        }
    });
}

#[test]
fn a_job_may_spawn_into_its_own_full_pile() {
    within(|| {
        let pile = GreenPile::new(1);
        for n in 0..3 {
            let inner = pile.clone();
            pile.spawn(move || {
                if n == 0 {
                    inner.spawn(|| 3);
                }
                n
            });
        }
        let mut all = pile.collect::<Vec<_>>();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    });
}

#[test]
fn a_pile_that_is_read_before_the_first_spawn_ends_and_stays_usable() {
    within(|| {
        let mut pile = GreenPile::new(1);
        assert_eq!(pile.next(), None);
        pile.spawn(|| 1);
        assert_eq!(pile.next(), Some(1));
    });
}

/// Returns the next number of a xorshift generator, which yields the same sequence in every run.
fn random(seed: &Cell<u64>) -> u64 {
    let mut x = seed.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    seed.set(x);
    x
}

#[test]
fn thousands_of_results_and_panics_are_yielded_in_spawn_order() {
    within(|| {
        for concurrency in [5, 50] {
            let pool = GreenPool::new(concurrency);
            let seed = Rc::new(Cell::new(0x1234_5678_9abc_def1));
            let producers: Vec<_> = (0..3)
                .map(|_| {
                    let (mut pile, seed) = (GreenPile::with_pool(&pool), Rc::clone(&seed));
                    spawn(move || {
                        let fails: Vec<bool> =
                            (0..1000).map(|_| random(&seed).is_multiple_of(5)).collect();
                        for (n, fail) in fails.iter().copied().enumerate() {
                            let yields = random(&seed) % 3;
                            pile.spawn(move || {
                                for _ in 0..yields {
                                    yield_now();
                                }
                                if fail { resume_unwind(Box::new(n)) } else { n }
                            });
                        }
                        for (n, fail) in fails.iter().copied().enumerate() {
                            let got = catch_unwind(AssertUnwindSafe(|| pile.next()));
                            match fail {
                                true => {
                                    assert_eq!(*got.unwrap_err().downcast::<usize>().unwrap(), n);
                                }
                                false => assert_eq!(got.unwrap(), Some(n)),
                            }
                        }
                        assert_eq!(pile.next(), None);
                    })
                })
                .collect();
            for producer in producers {
                producer.join().unwrap();
            }
            assert_eq!(pool.running(), 0);
        }
    });
}

#[test]
fn imap_keeps_few_results_alive_at_the_same_time() {
    within(|| {
        /// Decrements the number of live values when it is dropped.
        struct Counted(Rc<Cell<usize>>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        for concurrency in [50, 500] {
            let (live, most) = (Rc::new(Cell::new(0)), Cell::new(0));
            let make = Rc::clone(&live);
            let results = GreenPool::new(concurrency).imap(
                move |_: usize| {
                    make.set(make.get() + 1);
                    yield_now();
                    Counted(Rc::clone(&make))
                },
                0..1000,
            );
            for result in results {
                most.set(most.get().max(live.get()));
                drop(result);
            }
            assert!(most.get() < 25 * concurrency && most.get() <= 1000 && live.get() == 0);
        }
    });
}

#[test]
fn members_of_one_pool_that_wait_for_another_pool_all_complete() {
    within(|| {
        for tokens in 1..=4 {
            for workers in 1..=5 {
                let (token_pool, pool) = (GreenPool::new(tokens), GreenPool::new(workers));
                let done = Rc::new(Cell::new(0));
                for _ in 0..20 {
                    let (token_pool, done) = (token_pool.clone(), Rc::clone(&done));
                    pool.spawn_n(move || {
                        token_pool.spawn(yield_now).join().unwrap();
                        done.set(done.get() + 1);
                    });
                }
                pool.wait_all();
                token_pool.wait_all();
                assert_eq!(done.get(), 20);
            }
        }
    });
}
