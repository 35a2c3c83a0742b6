//! Measures the peers in rounds, with a short slice for each peer in every round, so that changes
//! in the machine's load affect all of them alike.

use std::io;
use std::time::Duration;

use super::Workload;
use super::cpu_affinity::Cores;
use super::sample::{Pair, Sample};
use super::table;
use crate::{plot, targets};

/// The options of a comparison.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    rounds: usize,
    slice: Duration,
    connections: Vec<usize>,
}

impl Choices {
    /// Reads `[ROUNDS [SECONDS [CONNECTIONS...]]]`.
    pub(super) fn parse(words: &[&str]) -> Option<Self> {
        let mut words = words.iter();
        let rounds = words.next().map_or(Some(31), |word| word.parse().ok())?;
        let seconds = words.next().map_or(Some(0.2), |word| word.parse().ok())?;
        let connections: Vec<usize> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let usual = || vec![1, 64, 1000, 10_000];
        Some(Self {
            rounds,
            slice: Duration::try_from_secs_f64(seconds).ok()?,
            connections: Some(connections)
                .filter(|given| !given.is_empty())
                .unwrap_or_else(usual),
        })
    }
}

/// Measures all peers of a workload and prints the table. A peer that fails is reported on stderr,
/// and is not measured again with that number of connections.
///
/// # Errors
///
/// Returns the error if the cores cannot be determined or the plot cannot be written.
pub(super) fn run(workload: &Workload, choices: &Choices) -> io::Result<()> {
    let cores = Cores::choose()?;
    let names: Vec<_> = workload.peers.iter().map(|peer| peer.name).collect();
    table::head();
    let mut results = Vec::new();
    for &connections in &choices.connections {
        let mut pairs: Vec<io::Result<Pair>> = names
            .iter()
            .map(|name| Pair::start(cores, workload.name, name, connections))
            .collect();
        let mut rounds: Vec<Vec<Option<Sample>>> = Vec::new();
        for round in 0..choices.rounds {
            eprintln!("{connections} connections, round {}", round + 1);
            let mut samples = vec![None; names.len()];
            // Each round begins with another peer, so that no peer is always the first.
            for at in (0..names.len()).map(|n| (n + round) % names.len()) {
                let Ok(pair) = &mut pairs[at] else { continue };
                match pair.slice(choices.slice) {
                    Ok(sample) => samples[at] = Some(sample),
                    Err(error) => pairs[at] = Err(error),
                }
                table::progress(names[at], samples[at].as_ref());
            }
            rounds.push(samples);
        }
        for (name, pair) in names.iter().zip(&pairs) {
            if let Err(error) = pair {
                eprintln!("{name}, {connections} connections: {error}");
            }
        }
        let result = table::Results::new(connections, &names, rounds);
        result.print();
        results.push(result);
    }
    let targets: Vec<_> = results
        .iter()
        .flat_map(|result| result.targets(workload.targets))
        .collect();
    targets::print(&targets);
    let groups = results
        .iter()
        .map(|result| format!("{} connections", result.connections));
    let groups: Vec<_> = groups.collect();
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    plot::bars(
        workload.name,
        &format!(
            "{}: processor time per request, relative to {}",
            workload.name, names[0]
        ),
        plot::Scale::Linear,
        (&groups, &names),
        |connections, peer| Some(results[connections].ratio(peer, 0)?.median),
    )
}
