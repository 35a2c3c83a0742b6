//! Faults are injected at every parking point of a green thread that uses a pool: no slot and no
//! resource is lost.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{GreenPile, GreenPool, Pool};
use evy_runtime::test::{inject_faults, wait_all_parked};
use evy_runtime::{sleep, spawn_n, yield_now};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_fault_in_a_spawner_at_a_full_pool_loses_no_slot() {
    let faults = inject_faults(|injector| {
        let pool = GreenPool::new(1);
        let theirs = pool.clone();
        let ran = Rc::new(Cell::new(0));
        let runs = Rc::clone(&ran);
        let victim = injector.spawn(move || {
            for _ in 0..3 {
                let runs = Rc::clone(&runs);
                theirs.spawn_n(move || {
                    sleep(SECOND);
                    runs.set(runs.get() + 1);
                });
            }
            theirs.wait_all();
        });
        victim.join().ok();
        pool.wait_all();
        assert_eq!((pool.running(), pool.waiting(), pool.free()), (0, 0, 1));
        assert!(ran.get() <= 3);
    });
    assert!(faults >= 9, "{faults}");
}

#[test]
fn a_fault_in_a_green_thread_that_joins_a_job_loses_no_slot() {
    let faults = inject_faults(|injector| {
        let pool = GreenPool::new(1);
        let inside = pool.clone();
        // The victim waits for a slot, and then for the job that it has spawned into the slot.
        let victim = injector.spawn(move || {
            let job = inside.spawn(|| {
                yield_now();
                7
            });
            job.join().ok()
        });
        let other = pool.spawn(|| sleep(SECOND));
        victim.join().ok();
        other.join().unwrap();
        pool.wait_all();
        assert_eq!(pool.running(), 0);
    });
    assert!(faults >= 3, "{faults}");
}

#[test]
fn a_fault_in_a_reader_of_a_pile_loses_no_slot() {
    let faults = inject_faults(|injector| {
        let pool = GreenPool::new(2);
        let mut pile = GreenPile::with_pool(&pool);
        for n in 0..2 {
            pile.spawn(move || {
                sleep(SECOND * n);
                n
            });
        }
        let victim = injector.spawn(move || pile.by_ref().sum::<u32>());
        victim.join().ok();
        pool.wait_all();
        assert_eq!((pool.running(), pool.waiting()), (0, 0));
    });
    assert!(faults >= 4, "{faults}");
}

#[test]
fn a_fault_in_a_consumer_of_imap_loses_no_slot() {
    let faults = inject_faults(|injector| {
        let pool = GreenPool::new(2);
        let theirs = pool.clone();
        let victim = injector.spawn(move || {
            let doubled = theirs.imap(
                |n: u32| {
                    sleep(SECOND);
                    2 * n
                },
                0..5,
            );
            doubled.sum::<u32>()
        });
        if let Ok(Ok(sum)) = victim.join() {
            assert_eq!(sum, 20);
        }
        pool.wait_all();
        assert_eq!((pool.running(), pool.waiting()), (0, 0));
    });
    assert!(faults >= 4, "{faults}");
}

#[test]
fn a_fault_in_a_user_of_resources_loses_no_slot_and_no_resource() {
    let faults = inject_faults(|injector| {
        let created = Rc::new(Cell::new(0));
        let count = Rc::clone(&created);
        let pool: Pool<u32, Infallible> = Pool::new(2, move || {
            count.set(count.get() + 1);
            yield_now();
            Ok(count.get())
        });
        let theirs = pool.clone();
        for _ in 0..3 {
            let pool = pool.clone();
            spawn_n(move || {
                let Ok(_resource) = pool.get();
                sleep(SECOND);
            });
        }
        let victim = injector.spawn(move || {
            for _ in 0..2 {
                let Ok(_resource) = theirs.get();
                sleep(SECOND);
            }
        });
        victim.join().ok();
        sleep(10 * SECOND);
        wait_all_parked();
        assert_eq!((pool.free(), pool.waiting()), (2, 0));
        assert!(pool.current_size() <= 2);
    });
    assert!(faults >= 8, "{faults}");
}
