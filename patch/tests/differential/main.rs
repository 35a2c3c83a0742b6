//! The same calls with the same arguments on a plain OS thread, on a patched green thread, and on the
//! patched root green thread: results, `errno` and side effects are the same.
//!
//! The arguments come from a random generator with a seed. `EVY_ROUNDS` sets the number of rounds, and
//! `EVY_SEED` the first seed, for longer runs by hand.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod calls;
mod files;
mod memory;
mod random;
mod round;
mod watch;

use std::time::Duration;

use evy_test_support::within;

/// How long a call may take before it is taken for one that waits. A longer time separates a slow machine
/// from a difference.
const TIMES_TO_WAIT: [Duration; 3] = [
    Duration::from_millis(4),
    Duration::from_millis(40),
    Duration::from_millis(400),
];

fn number(name: &str, default: u64) -> u64 {
    let value = std::env::var(name);
    value.map_or(default, |value| value.parse().unwrap())
}

#[test]
fn calls_return_the_same_on_green_threads_as_on_os_threads() {
    if let Err(error) = evy::patch::monkey_patch() {
        println!("skipped: {error}");
        return;
    }
    let first = number("EVY_SEED", 1);
    let seeds = first..first + number("EVY_ROUNDS", 300);
    let found: Vec<String> = seeds
        .filter_map(|seed| within(move || difference(seed)))
        .collect();
    assert!(
        found.is_empty(),
        "{} differences\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Returns what differs in a round, also if there is plenty of time.
fn difference(seed: u64) -> Option<String> {
    let found = TIMES_TO_WAIT.iter().try_fold(String::new(), |_, wait| {
        let run = move |place| round::run(seed, *wait, place);
        let expected = std::thread::spawn(move || run("an OS thread"))
            .join()
            .unwrap();
        let green = evy::spawn(move || run("a green thread")).join().unwrap();
        let root = run("the root green thread");
        if green == expected && root == expected {
            return None;
        }
        let differs = |(found, expected): &(&str, &str)| found != expected;
        let first = |found: &str| {
            let mut lines = found.lines().zip(expected.lines());
            let found = lines.find(differs).map(|(found, _)| found.trim_start());
            format!("{found:?}")
        };
        let (green, root) = (first(&green), first(&root));
        Some(format!(
            "{expected}  but on a green thread: {green}\n  and on the root green thread: {root}\n"
        ))
    });
    if let Some(found) = &found {
        println!("{found}");
    }
    found
}
