//! smol: tasks on an executor of one OS thread.

use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use smol::LocalExecutor;
use smol::channel::bounded;
use smol::future::{block_on, yield_now};

use super::{
    Measure, ROUND_TRIP, ROUND_TRIPS, SPAWN, SPAWN_JOIN, SPAWNS, YIELD_2, YIELD_10, YIELD_1000,
    YIELD_50000, each, turns,
};

pub(super) const WORK: &[(&str, Measure)] = &[
    (YIELD_2, yields::<2>),
    (YIELD_10, yields::<10>),
    (YIELD_1000, yields::<1000>),
    (YIELD_50000, yields::<50_000>),
    (SPAWN, spawns),
    (SPAWN_JOIN, spawn_join),
    (ROUND_TRIP, round_trip),
];

type Executor = Rc<LocalExecutor<'static>>;

fn run<F: Future<Output = f64> + 'static>(work: impl FnOnce(Executor) -> F) -> f64 {
    let executor: Executor = Rc::default();
    let task = executor.spawn(work(Rc::clone(&executor)));
    block_on(executor.run(task))
}

fn yields<const N: usize>() -> f64 {
    run(|executor| async move {
        let tasks: Vec<_> = (0..N)
            .map(|_| {
                executor.spawn(async {
                    for _ in 0..turns(N) {
                        yield_now().await;
                    }
                })
            })
            .collect();
        let start = Instant::now();
        for task in tasks {
            task.await;
        }
        each(start.elapsed(), turns(N) * N)
    })
}

fn spawns() -> f64 {
    run(|executor| async move {
        let start = Instant::now();
        for _ in 0..SPAWNS {
            executor.spawn(async {}).detach();
            yield_now().await;
        }
        each(start.elapsed(), SPAWNS)
    })
}

fn spawn_join() -> f64 {
    run(|executor| async move {
        let start = Instant::now();
        for _ in 0..SPAWNS {
            executor.spawn(async {}).await;
        }
        each(start.elapsed(), SPAWNS)
    })
}

fn round_trip() -> f64 {
    run(|executor| async move {
        let ((there, from), (to, back)) = (bounded(1), bounded(1));
        let echo = executor.spawn(async move {
            while let Ok(item) = from.recv().await {
                to.send(item).await.ok();
            }
        });
        let start = Instant::now();
        for n in 0..ROUND_TRIPS {
            there.send(n).await.expect("the echo task receives");
            assert_eq!(back.recv().await, Ok(n));
        }
        let elapsed = start.elapsed();
        drop(there);
        echo.await;
        each(elapsed, ROUND_TRIPS)
    })
}
