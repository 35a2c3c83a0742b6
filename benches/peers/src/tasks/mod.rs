//! What green threads, tasks and OS threads cost: the same work by each, in one process, on one core.
//!
//! Each peer has a file, with the same names of the same work in it; what a peer cannot do is missing.

mod corosensei;
mod evy;
mod may;
mod os_threads;
mod smol;
mod tokio;

use std::time::Duration;

/// Nanoseconds for each thing, measured once.
type Measure = fn() -> f64;

/// What a peer can do, by the name of the work.
type Peer = (&'static str, &'static [(&'static str, Measure)]);

/// A coroutine is entered and left again; the limit of what follows.
const RESUME: &str = "resume + suspend";
const YIELD_2: &str = "yield, 2 in turn";
const YIELD_10: &str = "yield, 10 in turn";
const YIELD_1000: &str = "yield, 1 000 in turn";
const YIELD_50000: &str = "yield, 50 000 in turn";
/// Nobody waits for it.
const SPAWN: &str = "spawn, run, reclaim";
const SPAWN_JOIN: &str = "spawn, join";
/// An item to another one and back, through two channels.
const ROUND_TRIP: &str = "channel, there and back";

const WORK: [&str; 8] = [
    RESUME,
    YIELD_2,
    YIELD_10,
    YIELD_1000,
    YIELD_50000,
    SPAWN,
    SPAWN_JOIN,
    ROUND_TRIP,
];

const PEERS: [Peer; 6] = [
    ("corosensei", corosensei::WORK),
    ("evy", evy::WORK),
    ("may", may::WORK),
    ("tokio", tokio::WORK),
    ("smol", smol::WORK),
    ("OS threads", os_threads::WORK),
];

/// How often each yields, spawns and so on in one measurement.
const YIELDS: usize = 500_000;
const SPAWNS: usize = 100_000;
const ROUND_TRIPS: usize = 100_000;
const ROUNDS: usize = 9;

/// Nanoseconds for each of `count` things that took `elapsed`.
fn each(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / count as f64
}

/// Measures all work of all peers, round after round, and prints a table of medians.
pub(super) fn run() {
    stay_on_one_core();
    may::configure();
    let mut samples = vec![vec![Vec::new(); PEERS.len()]; WORK.len()];
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for (work, samples) in WORK.iter().zip(&mut samples) {
            for ((_, can), samples) in PEERS.iter().zip(samples) {
                if let Some((_, measure)) = can.iter().find(|(name, _)| name == work) {
                    samples.push(measure());
                }
            }
        }
    }
    let names: Vec<_> = PEERS.iter().map(|(name, _)| *name).collect();
    println!("| ns each (median of {ROUNDS}) | {} |", names.join(" | "));
    println!("| --- |{}", " ---: |".repeat(names.len()));
    for (work, samples) in WORK.iter().zip(&mut samples) {
        let cells: Vec<_> = samples.iter_mut().map(|samples| median(samples)).collect();
        println!("| {work} | {} |", cells.join(" | "));
    }
}

/// So that nobody gains from a second core what the others do not use.
fn stay_on_one_core() {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        if let Some(core) = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)) {
            let mut one = CpuSet::new();
            one.set(core);
            // Where it is refused, the scheduler of the system decides, for all of them.
            sched_setaffinity(None, &one).ok();
        }
    }
}

fn median(samples: &mut [f64]) -> String {
    samples.sort_by(f64::total_cmp);
    match samples.get(samples.len() / 2) {
        Some(median) if *median < 100.0 => format!("{median:.1}"),
        Some(median) => format!("{median:.0}"),
        None => String::new(),
    }
}
