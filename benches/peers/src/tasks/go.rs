//! Go: goroutines on one processor, in a separate process for each measurement.

use std::path::PathBuf;
use std::process::Command;

use super::{
    Measure, ROUND_TRIP, SPAWN, SPAWN_JOIN, YIELD_2, YIELD_10, YIELD_1000, YIELD_50000, YIELD_APART,
};

pub(super) const WORK: &[(&str, Measure)] = &[
    (YIELD_2, || measure(YIELD_2)),
    (YIELD_10, || measure(YIELD_10)),
    (YIELD_APART, || measure(YIELD_APART)),
    (YIELD_1000, || measure(YIELD_1000)),
    (YIELD_50000, || measure(YIELD_50000)),
    (SPAWN, || measure(SPAWN)),
    (SPAWN_JOIN, || measure(SPAWN_JOIN)),
    (ROUND_TRIP, || measure(ROUND_TRIP)),
];

/// Returns the path of `target/go-peer`, if it exists. `benches/run.sh` builds it from `go/` if Go
/// is installed.
pub(crate) fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let program = own.parent()?.parent()?.join("go-peer");
    program.exists().then_some(program)
}

/// Runs `go-peer`, which uses the same names for the same work.
fn measure(work: &str) -> f64 {
    let program = program().expect("target/go-peer existed when the run began");
    let output = Command::new(program).arg(work).output();
    let output = output.expect("go-peer can be started");
    assert!(output.status.success(), "go-peer has failed at {work:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("go-peer prints a number")
}
