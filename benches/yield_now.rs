//! The cost of one `yield_now` among a given number of green threads.
//!
//! It is measured from one call site, and from different call sites and depths, where the processor
//! predicts return addresses less well.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evy::{spawn, wait_all, yield_now};

/// Returns the number of yields of each green thread, so that all make `yields` together. It is at
/// least 40, so that the end of a green thread does not weigh in the result.
fn share(yields: u64, threads: u64) -> u64 {
    yields.div_ceil(threads).max(40)
}

fn same_site(yields: u64, threads: u64) -> Duration {
    let turns = share(yields, threads);
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            spawn(move || {
                for _ in 0..turns {
                    yield_now();
                }
            })
        })
        .collect();
    yield_now();
    let start = Instant::now();
    wait_all(handles);
    start
        .elapsed()
        .mul_f64(yields as f64 / (turns * threads) as f64)
}

/// Yields from `depth` calls further down the stack.
#[inline(never)]
fn deep(depth: u64) {
    if depth == 0 {
        yield_now();
    } else {
        deep(depth - 1);
        std::hint::black_box(depth);
    }
}

fn different_sites(yields: u64, threads: u64) -> Duration {
    let turns = share(yields, threads);
    let handles: Vec<_> = (0..threads)
        .map(|n| {
            spawn(move || {
                for turn in 0..turns {
                    match n % 4 {
                        0 => yield_now(),
                        1 => deep(1),
                        2 => deep(turn % 4),
                        _ => deep(8),
                    }
                }
            })
        })
        .collect();
    yield_now();
    let start = Instant::now();
    wait_all(handles);
    start
        .elapsed()
        .mul_f64(yields as f64 / (turns * threads) as f64)
}

fn yields(c: &mut Criterion) {
    let mut group = c.benchmark_group("yield_now");
    group.throughput(Throughput::Elements(1));
    for threads in [2, 10, 1_000, 50_000] {
        group.bench_with_input(
            BenchmarkId::new("one call site", threads),
            &threads,
            |b, n| {
                b.iter_custom(|yields| same_site(yields, *n));
            },
        );
    }
    for threads in [2, 10, 1_000] {
        group.bench_with_input(
            BenchmarkId::new("different sites and depths", threads),
            &threads,
            |b, n| b.iter_custom(|yields| different_sites(yields, *n)),
        );
    }
    group.finish();
}

criterion_group!(benches, yields);
criterion_main!(benches);
