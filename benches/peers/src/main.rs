//! What a yield costs: evy, may and bare corosensei in one run, as medians and ratios. With a word
//! more, what a request costs servers: see `servers`.
//!
//! ```text
//! cargo run --release -p evy-peers --features run
//! cargo run --release -p evy-peers --features run -- echo
//! cargo run --release -p evy-peers --features run -- http
//! ```
//!
//! Read the ratios, not the nanoseconds: the machine is shared, and the rounds alternate between the
//! peers so that its moods hit all of them.

#[cfg(target_os = "linux")]
mod servers;

use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
const YIELDS: usize = 2_000_000;

/// Nanoseconds for each of `count` things that took `elapsed`.
fn each(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / count as f64
}

fn evy_yield(threads: usize) -> f64 {
    let turns = YIELDS / threads;
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            evy_runtime::spawn(move || {
                for _ in 0..turns {
                    evy_runtime::yield_now();
                }
            })
        })
        .collect();
    let start = Instant::now();
    for handle in handles {
        handle.join().expect("no panic");
    }
    each(start.elapsed(), turns * threads)
}

fn may_yield(threads: usize) -> f64 {
    let turns = YIELDS / threads;
    let start = Instant::now();
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            // SAFETY: the closure touches no thread local and needs little stack.
            unsafe {
                may::coroutine::spawn(move || {
                    for _ in 0..turns {
                        may::coroutine::yield_now();
                    }
                })
            }
        })
        .collect();
    for handle in handles {
        handle.join().expect("no panic");
    }
    each(start.elapsed(), turns * threads)
}

fn corosensei_round_trip() -> f64 {
    let mut coroutine = corosensei::Coroutine::<(), (), ()>::new(|yielder, ()| {
        for _ in 0..YIELDS {
            yielder.suspend(());
        }
    });
    let start = Instant::now();
    while !coroutine.done() {
        coroutine.resume(());
    }
    each(start.elapsed(), YIELDS)
}

fn evy_spawn_n() -> f64 {
    const BATCH: usize = 100;
    let start = Instant::now();
    for _ in 0..YIELDS / 10 / BATCH {
        for _ in 0..BATCH {
            evy_runtime::spawn_n(|| ());
        }
        evy_runtime::yield_now();
    }
    each(start.elapsed(), YIELDS / 10)
}

fn evy_spawn_join() -> f64 {
    let start = Instant::now();
    for _ in 0..YIELDS / 10 {
        evy_runtime::spawn(|| ()).join().expect("no panic");
    }
    each(start.elapsed(), YIELDS / 10)
}

/// Someone to be measured.
type Measure = (&'static str, Box<dyn Fn() -> f64>);

fn main() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    if std::env::args().len() > 1 {
        let words: Vec<String> = std::env::args().skip(1).collect();
        return servers::command(&words);
    }
    may::config().set_workers(1).set_stack_size(0x2000);
    let peers: Vec<Measure> = vec![
        (
            "corosensei resume + suspend",
            Box::new(corosensei_round_trip),
        ),
        ("evy yield, 2 green threads", Box::new(|| evy_yield(2))),
        ("evy yield, 10", Box::new(|| evy_yield(10))),
        ("evy yield, 50 000", Box::new(|| evy_yield(50_000))),
        ("may yield, 10", Box::new(|| may_yield(10))),
        ("evy spawn_n + run + reclaim", Box::new(evy_spawn_n)),
        ("evy spawn + join", Box::new(evy_spawn_join)),
    ];
    let mut samples = vec![Vec::new(); peers.len()];
    for _ in 0..ROUNDS {
        for ((_, measure), samples) in peers.iter().zip(&mut samples) {
            samples.push(measure());
        }
    }
    let medians: Vec<f64> = samples
        .iter_mut()
        .map(|samples| {
            samples.sort_by(f64::total_cmp);
            samples[ROUNDS / 2]
        })
        .collect();
    println!("| what | median ns | to corosensei | to evy yield, 10 |");
    println!("| --- | ---: | ---: | ---: |");
    for ((name, _), median) in peers.iter().zip(&medians) {
        println!(
            "| {name} | {median:.2} | {:.2} | {:.2} |",
            median / medians[0],
            median / medians[2]
        );
    }
    Ok(())
}
