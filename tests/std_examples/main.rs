//! The examples in std's documentation, with `std::` replaced by `evy::`.
//!
//! Each stable example of the modules that evy mirrors must compile, and must end as it does with
//! std. Each stable name of these modules must exist. `exceptions.txt` lists what differs, with a
//! reason. An item that is newer than the Rust version that evy supports may be missing.
//!
//! The component `rust-docs` must be installed. Without it there is nothing to test.

#![cfg(all(feature = "net", unix))]

mod docs;
mod exceptions;
mod program;
mod translate;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use docs::{Example, Expect};
use program::{Ending, Program};

/// The minor version of the oldest Rust that evy supports.
fn oldest_rust() -> u32 {
    let version = env!("CARGO_PKG_RUST_VERSION").split('.').nth(1);
    version
        .and_then(|minor| minor.parse().ok())
        .expect("a Rust version is set")
}

/// Whether an example can run here: one that std's documentation does not run names files of the
/// machine, or addresses of the network.
fn can_run(example: &Example) -> bool {
    let outside = ["\"/", "bind(", "connect(", "bind_addr(", "connect_addr("];
    example.expect != Expect::Refusal && !outside.iter().any(|mark| example.code.contains(mark))
}

/// Runs the examples of these indices on both programs. Returns those that end with success with
/// std, but not with evy.
fn run(evy: &Program, std: &Program, indices: &[usize]) -> (usize, BTreeMap<usize, String>) {
    let next = AtomicUsize::new(0);
    let ran = AtomicUsize::new(0);
    let failed = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some(&index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) {
            let with_std = std.run(index, Duration::from_secs(4));
            if with_std == Ending::TimedOut {
                continue;
            }
            ran.fetch_add(1, Ordering::Relaxed);
            let with_evy = evy.run(index, Duration::from_secs(60));
            if with_evy != with_std {
                let difference = format!("ends with {with_evy:?}, and with std {with_std:?}");
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.insert(index, difference);
            }
        }
    };
    std::thread::scope(|s| (0..4).for_each(|_| drop(s.spawn(work))));
    (
        ran.into_inner(),
        failed.into_inner().unwrap_or_else(PoisonError::into_inner),
    )
}

#[test]
fn the_examples_of_std_compile_and_run_and_its_names_exist() {
    let Some(folder) = docs::folder().filter(|_| std::env::var_os("EVY_UNDER_QEMU").is_none())
    else {
        println!("not tested: the component `rust-docs` is not installed");
        return;
    };
    let examples = [docs::examples(&folder), docs::names(&folder)].concat();
    assert!(
        examples.len() > 300,
        "only {} examples were found",
        examples.len()
    );
    let translated: Vec<_> = examples
        .iter()
        .cloned()
        .map(|example| Example {
            code: translate::to_evy(&example.code),
            ..example
        })
        .collect();
    let std = Program::new("on_std", &examples);
    let evy = Program::new("on_evy", &translated);
    let to_refuse = |index: &usize| examples[*index].expect == Expect::Refusal;

    // An example that does not compile with std either, with all in one program, says nothing.
    let all = || 0..examples.len();
    let useless = std.build(all().filter(|index| !to_refuse(index)));
    let usable = || all().filter(|index| !useless.contains_key(index));

    let refused = evy.build(usable().filter(to_refuse));
    let not_refused = usable().filter(|index| to_refuse(index) && !refused.contains_key(index));
    let mut failed: BTreeMap<_, _> = not_refused
        .map(|index| (index, "compiles".into()))
        .collect();
    failed.extend(evy.build(usable().filter(|index| !to_refuse(index))));

    let compiled: Vec<_> = usable()
        .filter(|index| !failed.contains_key(index) && can_run(&examples[*index]))
        .collect();
    let (ran, differ) = run(&evy, &std, &compiled);
    let not_compiled = failed.len();
    failed.extend(differ);

    let exceptions = exceptions::list();
    let is_newer = |example: &Example| example.since.is_some_and(|minor| minor > oldest_rust());
    let (mut unexpected, mut outside, mut deliberate) = (Vec::new(), 0, 0);
    for (index, error) in &failed {
        let example = &examples[*index];
        let mut covers = exceptions
            .iter()
            .filter(|exception| exception.covers(&example.name));
        match covers.next() {
            Some(exception) if exception.is_temporary => outside += 1,
            Some(_) => deliberate += 1,
            None if is_newer(example) => deliberate += 1,
            None => unexpected.push(format!("{} (e{index}): {error}", example.name)),
        }
    }
    println!(
        "{} examples and names, {} of no use here, {ran} ran, {} do not compile, {} end differently",
        examples.len(),
        useless.len(),
        not_compiled,
        failed.len() - not_compiled
    );
    for (index, error) in &useless {
        println!("of no use: {}: {error}", examples[*index].name);
    }
    for (index, error) in &failed {
        println!("{} (e{index}): {error}", examples[*index].name);
    }
    let fails = |name: &str| failed.keys().any(|index| examples[*index].name == name);
    let stale: Vec<_> = exceptions
        .iter()
        .filter(|exception| {
            let mut covered = examples
                .iter()
                .filter(|example| exception.covers(&example.name));
            let mut covered = covered.by_ref().peekable();
            covered.peek().is_some() && !covered.any(|example| fails(&example.name))
        })
        .map(exceptions::Exception::name)
        .collect();
    assert!(unexpected.is_empty(), "these fail: {unexpected:#?}");
    assert!(
        stale.is_empty(),
        "these do not fail, but are listed as exceptions: {stale:#?}"
    );
    let counted = examples.len() - useless.len() - outside;
    let share = 100 * (counted - deliberate) / counted;
    assert!(share >= 98, "only {share} % of the examples work");
}
