//! What pthread identities cost green threads. Prints a table, in Markdown:
//!
//! ```text
//! cargo test --release -p evy-patch --test identity_costs -- --ignored --nocapture
//! ```

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use evy::thread::{Builder, JoinHandle};

/// A way to spawn green threads: with an identity of their own, or without.
type Spawn = fn(fn()) -> JoinHandle<()>;

fn light(f: fn()) -> JoinHandle<()> {
    Builder::new().spawn(f).unwrap()
}

fn with_identity(f: fn()) -> JoinHandle<()> {
    Builder::new().own_identity().spawn(f).unwrap()
}

/// Returns the time of one step, of which `f` takes `steps`, in nanoseconds.
fn time(steps: u32, f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64() * 1e9 / f64::from(steps)
}

fn pairs_of_yields(spawn: Spawn) -> f64 {
    const PAIRS: u32 = 20_000;
    let yields = || (0..PAIRS).for_each(|_| evy::yield_now());
    let both = [spawn(yields), spawn(yields)];
    time(PAIRS, || evy::wait_all(both).into_iter().for_each(drop))
}

fn spawns_and_joins(spawn: Spawn) -> f64 {
    time(5000, || {
        (0..5000).for_each(|_| spawn(|| ()).join().unwrap());
    })
}

fn spawns_with_an_allocation(spawn: Spawn) -> f64 {
    let allocate = || drop(black_box(Box::new([0_u8; 64])));
    time(5000, || {
        (0..5000).for_each(|_| spawn(allocate).join().unwrap());
    })
}

fn first_creations(spawn: Spawn) -> f64 {
    // A new OS thread has no stacks to reuse.
    let measure = move || {
        evy::spawn(|| ()).join().unwrap();
        let mut all = Vec::new();
        let time = time(500, || {
            all.extend((0..500).map(|_| spawn(evy::thread::park)));
        });
        evy::sleep(Duration::ZERO);
        all.iter().for_each(|green| green.thread().unpark());
        evy::wait_all(all);
        time
    };
    std::thread::spawn(measure).join().unwrap()
}

#[test]
#[ignore = "it measures"]
fn steps_of_green_threads() {
    if let Err(error) = Builder::new().own_identity().spawn(|| ()) {
        println!("skipped: {error}");
        return;
    }
    type Measure = fn(Spawn) -> f64;
    let rows: [(&str, u32, Measure); 4] = [
        ("a pair of yields", 101, pairs_of_yields),
        ("spawn, run and join", 101, spawns_and_joins),
        (
            "the same, with an allocation",
            101,
            spawns_with_an_allocation,
        ),
        ("first creation", 11, first_creations),
    ];
    println!("| step | without: best, median | with: best, median |");
    println!("|---|---|---|");
    for (name, rounds, measure) in rows {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            times[0].push(measure(light));
            times[1].push(measure(with_identity));
        }
        let [without, with] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            format!("{:.1}, {:.1} ns", times[0], times[times.len() / 2])
        });
        println!("| {name} | {without} | {with} |");
    }
}
