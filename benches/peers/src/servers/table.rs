//! Turns the samples into a Markdown table of medians.

use std::time::Duration;

use super::sample::Sample;
use crate::targets::{self, Ratio, Target};

/// Prints a sample on stderr while the run is still in progress.
pub(super) fn progress(peer: &str, sample: Option<&Sample>) {
    match sample {
        Some(sample) => eprintln!(
            "    {peer:<6} {:>6.0} ns per request, {:>7.0} requests/s, {:>3.0} % of its core",
            sample.cost(),
            sample.per_second(),
            sample.busy() * 100.0
        ),
        None => eprintln!("    {peer:<6} failed"),
    }
}

/// Prints the header of the table.
pub(super) fn head() {
    println!(
        "| connections | peer | CPU ns/request | relative to raw | lowest CPU ns/request | relative to raw | requests/s | core used | p50 us | p99 us |"
    );
    println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
}

/// The results of all rounds with one number of connections.
#[derive(Debug)]
pub(super) struct Results<'a> {
    pub(super) connections: usize,
    peers: &'a [&'static str],
    rounds: Vec<Vec<Option<Sample>>>,
}

impl<'a> Results<'a> {
    pub(super) fn new(
        connections: usize,
        peers: &'a [&'static str],
        rounds: Vec<Vec<Option<Sample>>>,
    ) -> Self {
        Self {
            connections,
            peers,
            rounds,
        }
    }

    /// Returns the median of a value over the rounds.
    fn median(&self, peer: usize, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        let samples = self.rounds.iter().filter_map(|round| round[peer].as_ref());
        targets::median(samples.map(value))
    }

    /// Returns the cost of a request for one peer relative to its cost for another.
    pub(super) fn ratio(&self, peer: usize, to: usize) -> Option<Ratio> {
        let both = |round: &Vec<Option<Sample>>| Some((round[peer]?.cost(), round[to]?.cost()));
        let pairs: Vec<_> = self.rounds.iter().filter_map(both).collect();
        targets::ratio(&pairs)
    }

    /// Prints a line for each peer.
    ///
    /// The costs must be read together with `core used`. A server that waits for requests pays for
    /// each wait, and finds fewer requests after it. So its cost is higher than under full load.
    pub(super) fn print(&self) {
        for (at, peer) in self.peers.iter().enumerate() {
            let of = |value: &dyn Fn(&Sample) -> f64| self.median(at, value);
            let cost = of(&Sample::cost).zip(self.ratio(at, 0));
            let rate = of(&Sample::per_second).zip(of(&Sample::busy));
            let costs = self
                .rounds
                .iter()
                .filter_map(|round| Some(round[at]?.cost()));
            let (Some((cost, ratio)), Some((rate, busy)), Some(least)) =
                (cost, rate, targets::least(costs))
            else {
                continue;
            };
            let micros = |value: &dyn Fn(&Sample) -> Duration| {
                let median = of(&|sample| value(sample).as_secs_f64() * 1e6);
                median.unwrap_or(f64::NAN)
            };
            println!(
                "| {} | {peer} | {cost:.0} | {:.2} | {least:.0} | {:.2} | {rate:.0} | {:.0} % | {:.0} | {:.0} |",
                self.connections,
                ratio.median,
                ratio.least,
                busy * 100.0,
                micros(&|sample| sample.p50),
                micros(&|sample| sample.p99),
            );
        }
    }

    /// Returns two targets for evy: at most `to_first` of the first peer's cost, and at most
    /// `to_tokio` of tokio's.
    pub(super) fn targets(&self, limits: &[(&str, f64)]) -> Vec<Target> {
        let index_of = |name: &str| self.peers.iter().position(|peer| *peer == name);
        let Some(evy) = index_of("evy") else {
            return Vec::new();
        };
        let target = |(other, limit): &(&str, f64)| {
            let what = format!("{} connections, relative to {other}", self.connections);
            let ratio = index_of(other).and_then(|other| self.ratio(evy, other));
            Target::at_most(*limit, what, ratio)
        };
        limits.iter().map(target).collect()
    }
}
