//! What green threads, tasks and OS threads cost: the same work by each, in one run, on one core.
//!
//! Each peer has a file, with the same names of the same work in it; what a peer cannot do is missing.

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

/// Nanoseconds for each thing, measured once.
type Measure = fn() -> f64;

/// What a peer can do, by the name of the work.
type Peer = (&'static str, &'static [(&'static str, Measure)]);

/// Two stacks, and no scheduler.
const SWITCH: &str = "bare switch, there and back";
const YIELD_2: &str = "yield, 2 in turn";
const YIELD_10: &str = "yield, 10 in turn";
/// Where the processor's guesses of where a call returns to are worth less.
const YIELD_APART: &str = "yield, 10 in turn, at many depths";
const YIELD_1000: &str = "yield, 1 000 in turn";
const YIELD_50000: &str = "yield, 50 000 in turn";
/// Nobody waits for it.
const SPAWN: &str = "spawn, run, reclaim";
const SPAWN_JOIN: &str = "spawn, join";
/// An item to another one and back, through two channels.
const ROUND_TRIP: &str = "channel, there and back";

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

/// The least that it takes comes first, then evy.
const PEERS: [Peer; 7] = [
    ("bare", bare::WORK),
    ("evy", evy::WORK),
    ("may", may::WORK),
    ("tokio", tokio::WORK),
    ("smol", smol::WORK),
    ("Go", go::WORK),
    ("OS threads", os_threads::WORK),
];

/// How often each yields, spawns and so on in one measurement.
const YIELDS: usize = 500_000;
const SPAWNS: usize = 100_000;
const ROUND_TRIPS: usize = 100_000;
const ROUNDS: usize = 15;

/// How often each of `n` yields: so often that their beginning and end do not count.
const fn turns(n: usize) -> usize {
    let turns = YIELDS / n;
    if turns < 40 { 40 } else { turns }
}

/// Calls `pause` some calls further down, more or fewer from turn to turn.
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

/// Nanoseconds for each of `count` things that took `elapsed`.
fn each(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / count as f64
}

/// Measures all work of all peers, round after round, and prints a table of medians.
///
/// # Errors
///
/// Those of writing the plot.
pub(super) fn run() -> std::io::Result<()> {
    stay_on_one_core();
    may::configure();
    let is_there = |peer: &&Peer| peer.0 != "Go" || go::program().is_some();
    let peers: Vec<Peer> = PEERS.iter().filter(is_there).copied().collect();
    if peers.len() < PEERS.len() {
        eprintln!("without Go: target/go-peer is not there (see benches/run.sh)");
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
        "nanoseconds each, one core",
        plot::Scale::Logarithmic,
        (&WORK, &names),
        |work, peer| results.median(WORK[work], names[peer]),
    )
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
