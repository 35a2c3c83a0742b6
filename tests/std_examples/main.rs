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
use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use docs::Example;
use exceptions::Exception;
use program::{Ending, Program};

/// What is wrong with examples, by their index.
type Faults = BTreeMap<usize, String>;

/// Whether an example can run here. Those that name files of the machine, or addresses of the
/// network, are not run by std's documentation tests either.
fn can_run(example: &Example) -> bool {
    let outside = ["\"/", "bind(", "connect(", "bind_addr(", "connect_addr("];
    !example.is_refused && !outside.iter().any(|mark| example.code.contains(mark))
}

/// Compiles all examples with evy, and returns those that do not do what they should.
fn compile(evy: &Program, examples: &[Example]) -> Faults {
    let (refused, accepted): (Vec<_>, Vec<_>) =
        (0..examples.len()).partition(|index| examples[*index].is_refused);
    let errors = evy.build(refused.iter().copied());
    let mut faults = evy.build(accepted.into_iter());
    for index in refused
        .into_iter()
        .filter(|index| !errors.contains_key(index))
    {
        faults.insert(index, "compiles, and must not".to_owned());
    }
    faults
}

/// Runs the examples of these indices in both programs. Returns how many have ended in time with
/// std, and those of them that end differently with evy.
fn run(evy: &Program, std: &Program, indices: &[usize]) -> (usize, Faults) {
    let (next, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let faults = Mutex::new(Faults::new());
    let work = || {
        while let Some(&index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) {
            let with_std = std.run(index, Duration::from_secs(4));
            if with_std == Ending::TimedOut {
                continue;
            }
            ran.fetch_add(1, Ordering::Relaxed);
            let with_evy = evy.run(index, Duration::from_secs(60));
            if with_evy != with_std {
                let fault = format!("ends with {with_evy:?}, and with std {with_std:?}");
                let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
                faults.insert(index, fault);
            }
        }
    };
    std::thread::scope(|s| (0..4).for_each(|_| drop(s.spawn(work))));
    let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    (ran.into_inner(), faults)
}

/// Whether an example belongs to an item that the oldest Rust that evy supports does not have.
fn is_newer(example: &Example) -> bool {
    let oldest = env!("CARGO_PKG_RUST_VERSION").split('.').nth(1);
    let oldest = oldest.and_then(|minor| minor.parse().ok());
    example.since > oldest
}

/// Compares the faults with the list of exceptions.
fn check(examples: &[Example], faults: &Faults) {
    let exceptions = exceptions::list();
    let exception = |name: &str| exceptions.iter().find(|exception| exception.covers(name));
    let is_newer = |index: &usize| is_newer(&examples[*index]);
    let found = |index: &usize| exception(&examples[*index].name);

    let unexpected: Vec<_> = faults
        .iter()
        .filter(|(index, _)| found(index).is_none() && !is_newer(index))
        .map(|(index, fault)| format!("{} (e{index}): {fault}", examples[*index].name))
        .collect();
    assert!(unexpected.is_empty(), "these fail: {unexpected:#?}");

    let is_stale = |exception: &&Exception| {
        let covered = |index: &usize| exception.covers(&examples[*index].name);
        (0..examples.len()).any(|index| covered(&index)) && !faults.keys().any(covered)
    };
    let stale: Vec<_> = exceptions
        .iter()
        .filter(is_stale)
        .map(|exception| exception.name)
        .collect();
    assert!(stale.is_empty(), "these do not fail any more: {stale:#?}");

    let share = 100 * (examples.len() - faults.len()) / examples.len();
    assert!(share >= 98, "only {share} % of the examples work");
}

#[test]
fn the_examples_of_std_compile_and_run_and_its_names_exist() {
    let emulated = env::var_os("EVY_UNDER_QEMU").is_some();
    let Some(folder) = docs::folder().filter(|_| !emulated) else {
        println!("not tested: the component `rust-docs` is not installed");
        return;
    };
    let mut examples = [docs::examples(&folder), docs::names(&folder)].concat();
    assert!(
        examples.len() > 300,
        "only {} examples were found",
        examples.len()
    );

    // An example that does not compile with std, as a module among others, says nothing.
    let std = Program::new("on_std", &examples);
    let useless = std.build((0..examples.len()).filter(|index| !examples[*index].is_refused));

    for example in &mut examples {
        example.code = translate::to_evy(&example.code);
    }
    let evy = Program::new("on_evy", &examples);
    let mut faults = compile(&evy, &examples);
    faults.retain(|index, _| !useless.contains_key(index));
    let is_good = |index: &usize| {
        let compiles = !faults.contains_key(index) && !useless.contains_key(index);
        compiles && can_run(&examples[*index])
    };
    let good: Vec<_> = (0..examples.len()).filter(is_good).collect();
    let (ran, differ) = run(&evy, &std, &good);
    println!(
        "{} examples and names, {} of no use: {} do not compile; {ran} ran, of which {} end \
         differently",
        examples.len(),
        useless.len(),
        faults.len(),
        differ.len()
    );
    faults.extend(differ);
    for (index, fault) in &faults {
        println!("{} (e{index}): {fault}", examples[*index].name);
    }
    check(&examples, &faults);
}
