//! Samples become medians, medians Markdown tables: what was measured, and how far it is from the targets.

use super::{
    ROUND_TRIP, ROUNDS, SPAWN, SPAWN_JOIN, SWITCH, WORK, YIELD_2, YIELD_10, YIELD_50000,
    YIELD_APART,
};
use crate::targets::{self, Ratio, Target};

/// The samples of one run, a list for each work and peer. Those of one round stand at the same place.
#[derive(Debug)]
pub(super) struct Results<'a> {
    peers: &'a [&'static str],
    samples: &'a [Vec<Vec<f64>>],
}

impl<'a> Results<'a> {
    pub(super) fn new(peers: &'a [&'static str], samples: &'a [Vec<Vec<f64>>]) -> Self {
        Self { peers, samples }
    }

    /// The median of what `peer` took for `work`, if it can do it.
    pub(super) fn median(&self, work: &str, peer: &str) -> Option<f64> {
        targets::median(self.of(work, peer)?.iter().copied())
    }

    /// What one work took a peer beside what another took another.
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

    /// What was measured.
    pub(super) fn print(&self) {
        println!(
            "| ns each (median of {ROUNDS}) | {} | evy to bare |",
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

    /// How that compares with what is aimed at.
    pub(super) fn print_aims(&self) {
        let to_bare = |work| self.ratio((work, "evy"), (work, "bare"));
        let to_peer = |work, peer| self.ratio((work, "evy"), (work, peer));
        let in_a_crowd = self.ratio((YIELD_50000, "evy"), (YIELD_10, "evy"));
        targets::print(&[
            Target::at_most(1.2, "bare switch, to corosensei's", to_bare(SWITCH)),
            Target::at_most(
                1.0,
                "yield at 2, to a corosensei round trip",
                to_bare(YIELD_2),
            ),
            Target::at_most(1.5, "yield at 10, to the same", to_bare(YIELD_10)),
            Target::none("the same at many depths", to_bare(YIELD_APART)),
            Target::at_most(2.0, "yield at 50 000, to one at 10", in_a_crowd),
            Target::none("the same, to 50 000 pages in turn", to_bare(YIELD_50000)),
            Target::at_most(
                3.0,
                "spawn_n, run and reclaim, to corosensei's",
                to_bare(SPAWN),
            ),
            Target::at_most(
                1.0 / 5.0,
                "spawn and join, to tokio's",
                to_peer(SPAWN_JOIN, "tokio"),
            ),
            Target::at_most(
                1.0 / 5.0,
                "spawn and join, to Go's",
                to_peer(SPAWN_JOIN, "Go"),
            ),
            Target::at_most(
                1.0 / 8.0,
                "a queue's round trip, to Go's channel",
                to_peer(ROUND_TRIP, "Go"),
            ),
        ]);
    }
}
