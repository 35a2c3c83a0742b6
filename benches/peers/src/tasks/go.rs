//! Go: goroutines on one processor, in a process of their own for each measurement.

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

/// Built from `go/` by `benches/run.sh`, where there is a Go to build it with: `target/go-peer`.
pub(crate) fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let program = own.parent()?.parent()?.join("go-peer");
    program.exists().then_some(program)
}

/// It knows the same work by the same names.
fn measure(work: &str) -> f64 {
    let program = program().expect("it was there when the run began");
    let output = Command::new(program).arg(work).output();
    let output = output.expect("it can be started");
    assert!(output.status.success(), "go-peer has failed at {work:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("it prints a number")
}
