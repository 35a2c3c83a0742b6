//! Turns the samples into Markdown tables: the medians, and how they compare with the targets.

use super::{
    ROUND_TRIP, ROUNDS, SPAWN, SPAWN_JOIN, SWITCH, WORK, YIELD_2, YIELD_10, YIELD_50000,
    YIELD_APART,
};
use crate::targets::{self, Ratio, Target};

/// The samples of one run: a list for each work and peer. Samples of the same round have the same
/// index.
#[derive(Debug)]
pub(super) struct Results<'a> {
    peers: &'a [&'static str],
    samples: &'a [Vec<Vec<f64>>],
}

impl<'a> Results<'a> {
    pub(super) fn new(peers: &'a [&'static str], samples: &'a [Vec<Vec<f64>>]) -> Self {
        Self { peers, samples }
    }

    /// Returns the median time of `peer` for `work`, or `None` if it cannot do that work.
    pub(super) fn median(&self, work: &str, peer: &str) -> Option<f64> {
        targets::median(self.of(work, peer)?.iter().copied())
    }

    /// Returns the time of one work by one peer relative to that of another work by another peer.
    fn ratio(
        &self,
        (work, peer): (&str, &str),
        (other_work, other): (&str, &str),
    ) -> Option<Ratio> {
        let own = self.of(work, peer)?.iter().copied();
        let pairs: Vec<_> = own
            .zip(self.of(other_work, other)?.iter().copied())
            .collect();
        targets::ratio(&pairs)
    }

    fn of(&self, work: &str, peer: &str) -> Option<&[f64]> {
        let work = WORK.iter().position(|known| *known == work)?;
        let peer = self.peers.iter().position(|known| *known == peer)?;
        Some(&self.samples[work][peer])
    }

    /// Prints the table of medians.
    pub(super) fn print(&self) {
        println!(
            "| ns each (median of {ROUNDS} rounds) | {} | evy / bare |",
            self.peers.join(" | ")
        );
        println!("| --- |{} ---: |", " ---: |".repeat(self.peers.len()));
        for work in WORK {
            let cells = self.peers.iter().map(|peer| match self.median(work, peer) {
                Some(median) if median < 100.0 => format!("{median:.1}"),
                Some(median) => format!("{median:.0}"),
                None => String::new(),
            });
            let cells: Vec<_> = cells.collect();
            let ratio = self.ratio((work, "evy"), (work, "bare"));
            let ratio = ratio.map_or(String::new(), |ratio| format!("{:.2}", ratio.median));
            println!("| {work} | {} | {ratio} |", cells.join(" | "));
        }
    }

    /// Prints how the medians compare with the targets.
    pub(super) fn print_aims(&self) {
        let to_bare = |work| self.ratio((work, "evy"), (work, "bare"));
        let to_peer = |work, peer| self.ratio((work, "evy"), (work, peer));
        let in_a_crowd = self.ratio((YIELD_50000, "evy"), (YIELD_10, "evy"));
        targets::print(&[
            Target::at_most(1.2, "bare switch, relative to corosensei", to_bare(SWITCH)),
            Target::at_most(
                1.0,
                "yield among 2, relative to a corosensei round trip",
                to_bare(YIELD_2),
            ),
            Target::at_most(
                1.5,
                "yield among 10, relative to a corosensei round trip",
                to_bare(YIELD_10),
            ),
            Target::none(
                "yield among 10, varying depth, relative to a corosensei round trip",
                to_bare(YIELD_APART),
            ),
            Target::at_most(
                2.0,
                "yield among 50,000, relative to yield among 10",
                in_a_crowd,
            ),
            Target::none(
                "yield among 50,000, relative to accessing 50,000 pages",
                to_bare(YIELD_50000),
            ),
            Target::at_most(
                3.0,
                "spawn_n, run and reclaim, relative to corosensei",
                to_bare(SPAWN),
            ),
            Target::at_most(
                1.0 / 5.0,
                "spawn and join, relative to tokio",
                to_peer(SPAWN_JOIN, "tokio"),
            ),
            Target::at_most(
                1.0 / 5.0,
                "spawn and join, relative to Go",
                to_peer(SPAWN_JOIN, "Go"),
            ),
            Target::at_most(
                1.0 / 8.0,
                "queue round trip, relative to Go's channel",
                to_peer(ROUND_TRIP, "Go"),
            ),
        ]);
    }
}
