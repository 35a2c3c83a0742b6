//! OS threads of std.

use std::sync::mpsc::sync_channel;
use std::thread::{spawn, yield_now};
use std::time::Instant;

use super::{Measure, ROUND_TRIP, SPAWN_JOIN, YIELD_2, YIELD_10, YIELD_1000, each, turns};

/// The divisor of the number of operations. OS threads are so slow that fewer operations suffice.
const SHARE: usize = 50;

pub(super) const WORK: &[(&str, Measure)] = &[
    (YIELD_2, yields::<2>),
    (YIELD_10, yields::<10>),
    (YIELD_1000, yields::<1000>),
    (SPAWN_JOIN, spawn_join),
    (ROUND_TRIP, round_trip),
];

fn yields<const N: usize>() -> f64 {
    let start = Instant::now();
    let threads: Vec<_> = (0..N)
        .map(|_| {
            spawn(|| {
                for _ in 0..turns(N) {
                    yield_now();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    each(start.elapsed(), turns(N) * N)
}

fn spawn_join() -> f64 {
    let count = super::SPAWNS / SHARE;
    let start = Instant::now();
    for _ in 0..count {
        spawn(|| ()).join().expect("no panic");
    }
    each(start.elapsed(), count)
}

fn round_trip() -> f64 {
    let count = super::ROUND_TRIPS / SHARE;
    let ((there, from), (to, back)) = (sync_channel(1), sync_channel(1));
    let echo = spawn(move || {
        for item in from {
            to.send(item).ok();
        }
    });
    let start = Instant::now();
    for n in 0..count {
        there.send(n).expect("the echo thread receives");
        assert_eq!(back.recv(), Ok(n));
    }
    let elapsed = start.elapsed();
    drop(there);
    echo.join().expect("no panic");
    each(elapsed, count)
}
