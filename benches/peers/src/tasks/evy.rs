//! evy: green threads on one OS thread.

use std::time::Instant;

use evy::{Queue, spawn, spawn_n, wait_all, yield_now};

use super::{
    Measure, ROUND_TRIP, ROUND_TRIPS, SPAWN, SPAWN_JOIN, SPAWNS, SWITCH, YIELD_2, YIELD_10,
    YIELD_1000, YIELD_50000, YIELD_APART, YIELDS, deep, each, turns,
};

#[path = "../../../pair.rs"]
mod pair;

pub(super) const WORK: &[(&str, Measure)] = &[
    (SWITCH, switch),
    (YIELD_2, || yields::<2>(|_| yield_now())),
    (YIELD_10, || yields::<10>(|_| yield_now())),
    (YIELD_APART, || yields::<10>(|turn| deep(turn, yield_now))),
    (YIELD_1000, || yields::<1000>(|_| yield_now())),
    (YIELD_50000, || yields::<50_000>(|_| yield_now())),
    (SPAWN, spawns),
    (SPAWN_JOIN, spawn_join),
    (ROUND_TRIP, round_trip),
];

/// Measures the round trip of a bare switch, without a scheduler.
fn switch() -> f64 {
    let mut there_and_back = pair::there_and_back();
    let start = Instant::now();
    (0..YIELDS).for_each(|_| there_and_back());
    each(start.elapsed(), YIELDS)
}

fn yields<const N: usize>(pause: impl Fn(usize) + Copy + 'static) -> f64 {
    let handles: Vec<_> = (0..N)
        .map(|_| {
            spawn(move || {
                for turn in 0..turns(N) {
                    pause(turn);
                }
            })
        })
        .collect();
    let start = Instant::now();
    wait_all(handles);
    each(start.elapsed(), turns(N) * N)
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
