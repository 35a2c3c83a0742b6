//! evy: green threads on one OS thread.

use std::time::Instant;

use evy::{Queue, spawn, spawn_n, wait_all, yield_now};

use super::{
    Measure, ROUND_TRIP, ROUND_TRIPS, SPAWN, SPAWN_JOIN, SPAWNS, YIELD_2, YIELD_10, YIELD_1000,
    YIELD_50000, YIELDS, each,
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

fn yields<const N: usize>() -> f64 {
    let handles: Vec<_> = (0..N)
        .map(|_| {
            spawn(|| {
                for _ in 0..YIELDS / N {
                    yield_now();
                }
            })
        })
        .collect();
    let start = Instant::now();
    wait_all(handles);
    each(start.elapsed(), YIELDS)
}

fn spawns() -> f64 {
    let start = Instant::now();
    for _ in 0..SPAWNS {
        spawn_n(|| ());
        yield_now();
    }
    each(start.elapsed(), SPAWNS)
}

fn spawn_join() -> f64 {
    let start = Instant::now();
    for _ in 0..SPAWNS {
        spawn(|| ()).join().expect("no panic");
    }
    each(start.elapsed(), SPAWNS)
}

fn round_trip() -> f64 {
    let (there, back) = (Queue::bounded(1), Queue::bounded(1));
    let (from, to) = (there.clone(), back.clone());
    let echo = spawn(move || {
        for _ in 0..ROUND_TRIPS {
            let item: usize = from.get();
            to.put(item);
        }
    });
    let start = Instant::now();
    for n in 0..ROUND_TRIPS {
        there.put(n);
        assert_eq!(back.get(), n);
    }
    let elapsed = start.elapsed();
    echo.join().expect("no panic");
    each(elapsed, ROUND_TRIPS)
}
