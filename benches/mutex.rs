//! `sync::Mutex` compared with std's: uncontended, and contended by green threads that yield while
//! they hold it.

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use evy::sync::{Arc, Mutex};
use evy::{spawn, wait_all, yield_now};

fn uncontended(c: &mut Criterion) {
    let mut group = c.benchmark_group("mutex, uncontended");
    let (evy, std) = (Mutex::new(0u64), std::sync::Mutex::new(0u64));
    group.bench_function("evy", |b| b.iter(|| *evy.lock().expect("no poison") += 1));
    group.bench_function("std", |b| b.iter(|| *std.lock().expect("no poison") += 1));
    group.finish();
}

fn contended(c: &mut Criterion) {
    c.bench_function("mutex, contended by 10 that yield while holding it", |b| {
        b.iter_custom(|locks| {
            let count = Arc::new(Mutex::new(0u64));
            let workers: Vec<_> = (0..10)
                .map(|_| {
                    let count = Arc::clone(&count);
                    spawn(move || {
                        for _ in 0..locks.div_ceil(10) {
                            let mut count = count.lock().expect("no poison");
                            yield_now();
                            *count += 1;
                        }
                    })
                })
                .collect();
            let start = Instant::now();
            wait_all(workers);
            start.elapsed()
        });
    });
}

criterion_group!(benches, uncontended, contended);
criterion_main!(benches);
