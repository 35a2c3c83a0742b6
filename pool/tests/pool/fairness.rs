//! Tests of fairness: pools charge the operations that need not park.

use std::cell::Cell;
use std::rc::Rc;

use evy_pool::{GreenPool, Pool};
use evy_runtime::{spawn_n, yield_now};
use evy_test_support::within;

/// Checks that another green thread gets a turn while `op` is repeated.
fn lets_others_run(name: &str, mut op: impl FnMut()) {
    let has_run = Rc::new(Cell::new(false));
    let runs = Rc::clone(&has_run);
    spawn_n(move || runs.set(true));
    let repeated = (0..1000).take_while(|_| {
        op();
        !has_run.get()
    });
    let repeated = repeated.count();
    assert!(repeated <= 128, "{name}: {repeated}");
    yield_now();
}

#[test]
fn a_green_thread_that_repeats_an_operation_of_a_pool_lets_others_run() {
    within(|| {
        let full = GreenPool::new(0);
        lets_others_run("try_spawn", || assert!(full.try_spawn(|| ()).is_err()));

        let large = GreenPool::new(usize::MAX);
        lets_others_run("spawn", || drop(large.spawn(|| ())));

        let resources = Pool::new(1, || Ok::<_, ()>(7));
        lets_others_run("get", || drop(resources.get().unwrap()));
        let _held = resources.get().unwrap();
        lets_others_run("try_get", || {
            assert!(resources.try_get().unwrap().is_none());
        });

        let pool = GreenPool::new(1000);
        let done: Vec<_> = (0..1000).map(|n| pool.spawn(move || n)).collect();
        pool.wait_all();
        let mut done = done.into_iter();
        lets_others_run("join", || assert!(done.next().unwrap().join().is_ok()));
    });
}
