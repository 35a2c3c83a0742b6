//! tokio: tasks on its single-threaded runtime.

use std::future::Future;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::{spawn, yield_now};

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

fn run(work: impl Future<Output = f64> + Send + 'static) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("the system has the resources for a runtime");
    // The work runs in a spawned task, as in the other peers, and not in the future that `block_on`
    // polls in the runtime's own loop.
    runtime.block_on(async { spawn(work).await.expect("no panic") })
}

fn yields<const N: usize>() -> f64 {
    run(async {
        let handles: Vec<_> = (0..N)
            .map(|_| {
                spawn(async {
                    for _ in 0..turns(N) {
                        yield_now().await;
                    }
                })
            })
            .collect();
        let start = Instant::now();
        for handle in handles {
            handle.await.expect("no panic");
        }
        each(start.elapsed(), turns(N) * N)
    })
}

fn spawns() -> f64 {
    run(async {
        let start = Instant::now();
        for _ in 0..SPAWNS {
            drop(spawn(async {}));
            yield_now().await;
        }
        each(start.elapsed(), SPAWNS)
    })
}

fn spawn_join() -> f64 {
    run(async {
        let start = Instant::now();
        for _ in 0..SPAWNS {
            spawn(async {}).await.expect("no panic");
        }
        each(start.elapsed(), SPAWNS)
    })
}

fn round_trip() -> f64 {
    run(async {
        let ((there, mut from), (to, mut back)) = (mpsc::channel(1), mpsc::channel(1));
        spawn(async move {
            while let Some(item) = from.recv().await {
                to.send(item).await.ok();
            }
        });
        let start = Instant::now();
        for n in 0..ROUND_TRIPS {
            there.send(n).await.expect("the echo task receives");
            assert_eq!(back.recv().await, Some(n));
        }
        each(start.elapsed(), ROUND_TRIPS)
    })
}
