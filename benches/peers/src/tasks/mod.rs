//! The cost of green threads, tasks and OS threads: each peer does the same work, in one run, on
//! one core.
//!
//! Each peer has a file, which uses the same names for the same work. Work that a peer cannot do is
//! missing from its file.

mod bare;
mod evy;
pub(crate) mod go;
mod may;
mod os_threads;
mod smol;
mod table;
mod tokio;

use std::time::Duration;

use crate::plot;

/// Measures some work once, and returns the nanoseconds for each operation.
type Measure = fn() -> f64;

/// The name of a peer, and the work that it can do, with the name of each kind of work.
type Peer = (&'static str, &'static [(&'static str, Measure)]);

/// Between two stacks, without a scheduler.
const SWITCH: &str = "bare switch, round trip";
const YIELD_2: &str = "yield among 2";
const YIELD_10: &str = "yield among 10";
/// At call depths at which the processor predicts return addresses less well.
const YIELD_APART: &str = "yield among 10, varying depth";
const YIELD_1000: &str = "yield among 1,000";
const YIELD_50000: &str = "yield among 50,000";
/// Nothing waits for what is spawned.
const SPAWN: &str = "spawn, run, reclaim";
const SPAWN_JOIN: &str = "spawn, join";
/// The round trip of an item to another thread or task and back, through two channels.
const ROUND_TRIP: &str = "channel, round trip";

const WORK: [&str; 9] = [
    SWITCH,
    YIELD_2,
    YIELD_10,
    YIELD_APART,
    YIELD_1000,
    YIELD_50000,
    SPAWN,
    SPAWN_JOIN,
    ROUND_TRIP,
];

/// The hardware limit comes first, then evy.
const PEERS: [Peer; 7] = [
    ("bare", bare::WORK),
    ("evy", evy::WORK),
    ("may", may::WORK),
    ("tokio", tokio::WORK),
    ("smol", smol::WORK),
    ("Go", go::WORK),
    ("OS threads", os_threads::WORK),
];

/// The number of operations in one measurement; the yields are shared by all that yield.
const YIELDS: usize = 500_000;
const SPAWNS: usize = 100_000;
const ROUND_TRIPS: usize = 100_000;
const ROUNDS: usize = 15;

/// Returns how often each of `n` threads or tasks yields. It is at least 40, so that their
/// beginning and end do not weigh in the result.
const fn turns(n: usize) -> usize {
    let turns = YIELDS / n;
    if turns < 40 { 40 } else { turns }
}

/// Calls `pause` from a depth of calls that differs from turn to turn.
fn deep(turn: usize, pause: fn()) {
    #[inline(never)]
    fn at(depth: usize, pause: fn()) -> usize {
        match depth {
            0 => {
                pause();
                0
            }
            _ => at(depth - 1, pause) + 1,
        }
    }
    std::hint::black_box(at(turn % 8, pause));
}

/// Returns the nanoseconds for each of `count` operations that took `elapsed` together.
fn each(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / count as f64
}

/// Measures all work of all peers, round after round. Prints a table of medians and the targets.
///
/// # Errors
///
/// Returns the error of writing the plot.
pub(super) fn run() -> std::io::Result<()> {
    stay_on_one_core();
    may::configure();
    let is_there = |peer: &&Peer| peer.0 != "Go" || go::program().is_some();
    let peers: Vec<Peer> = PEERS.iter().filter(is_there).copied().collect();
    if peers.len() < PEERS.len() {
        eprintln!("Go is not measured: target/go-peer does not exist (see benches/run.sh)");
    }
    let mut samples = vec![vec![Vec::new(); peers.len()]; WORK.len()];
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for (work, samples) in WORK.iter().zip(&mut samples) {
            for ((_, can), samples) in peers.iter().zip(samples) {
                if let Some((_, measure)) = can.iter().find(|(name, _)| name == work) {
                    samples.push(measure());
                }
            }
        }
    }
    let names: Vec<_> = peers.iter().map(|(name, _)| *name).collect();
    let results = table::Results::new(&names, &samples);
    results.print();
    results.print_aims();
    plot::bars(
        "tasks",
        "nanoseconds per operation, one core",
        plot::Scale::Logarithmic,
        (&WORK, &names),
        |work, peer| results.median(WORK[work], names[peer]),
    )
}

/// Restricts this process to one core, so that no peer gains from a second core that the others do
/// not use.
fn stay_on_one_core() {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        if let Some(core) = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)) {
            let mut one = CpuSet::new();
            one.set(core);
            // If the system refuses, its scheduler chooses the cores, for all peers alike.
            sched_setaffinity(None, &one).ok();
        }
    }
}
