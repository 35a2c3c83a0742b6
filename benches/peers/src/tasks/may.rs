//! may: stackful coroutines, on one worker.

use std::time::Instant;

use may::coroutine::{JoinHandle, yield_now};
use may::sync::mpsc;

use super::{
    Measure, ROUND_TRIP, ROUND_TRIPS, SPAWN_JOIN, SPAWNS, YIELD_2, YIELD_10, YIELD_1000,
    YIELD_APART, deep, each, turns,
};

/// `YIELD_50000` is missing, because 50,000 coroutines need more mappings than a system allows by
/// default.
pub(super) const WORK: &[(&str, Measure)] = &[
    (YIELD_2, || yields::<2>(|_| yield_now())),
    (YIELD_10, || yields::<10>(|_| yield_now())),
    (YIELD_APART, || yields::<10>(|turn| deep(turn, yield_now))),
    (YIELD_1000, || yields::<1000>(|_| yield_now())),
    (SPAWN_JOIN, spawn_join),
    (ROUND_TRIP, round_trip),
];

pub(super) fn configure() {
    may::config().set_workers(1).set_stack_size(0x2000);
}

fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // SAFETY: the closures that are spawned here access no thread-local variable and need little
    // stack.
    unsafe { may::coroutine::spawn(f) }
}

fn yields<const N: usize>(pause: impl Fn(usize) + Copy + Send + 'static) -> f64 {
    let start = Instant::now();
    let handles: Vec<_> = (0..N)
        .map(|_| {
            spawn(move || {
                for turn in 0..turns(N) {
                    pause(turn);
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().expect("no panic");
    }
    each(start.elapsed(), turns(N) * N)
}

fn spawn_join() -> f64 {
    let inside = || {
        let start = Instant::now();
        for _ in 0..SPAWNS {
            spawn(|| ()).join().expect("no panic");
        }
        each(start.elapsed(), SPAWNS)
    };
    spawn(inside).join().expect("no panic")
}

fn round_trip() -> f64 {
    let inside = || {
        let ((there, from), (to, back)) = (mpsc::channel(), mpsc::channel());
        spawn(move || {
            for item in from {
                if to.send(item).is_err() {
                    break;
                }
            }
        });
        let start = Instant::now();
        for n in 0..ROUND_TRIPS {
            there.send(n).expect("the echo coroutine receives");
            assert_eq!(back.recv(), Ok(n));
        }
        each(start.elapsed(), ROUND_TRIPS)
    };
    spawn(inside).join().expect("no panic")
}
